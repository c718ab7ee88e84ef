"""Warnings of Twisted's log and plugins that are left out, as lines on standard error."""

from __future__ import annotations

import subprocess
import sys

import pytest

from netsvc.commands.logged import complain_of_left_out
from netsvc.registry import Registry
from tests.live.daemon import PATIENCE


def logged(*lines: str) -> str:
    """What a process writes to standard error that logs as the lines say; it writes nothing else."""
    program = "\n".join(
        (
            "from twisted.logger import Logger",
            "from twisted.python import log as old",
            "from netsvc.commands.logged import warnings_to_stderr",
            "log = Logger()",
            "log.warn('before')",
            "warnings_to_stderr()",
            *lines,
        )
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout) == (0, "")
    return done.stderr


def test_warnings_and_what_is_worse_are_lines_and_the_rest_is_silent() -> None:
    errors = logged(
        "log.debug('no')",
        "log.info('no')",
        "log.warn('a {what}', what='warning')",
        "log.error('an error')",
        "log.critical('the worst')",
    )
    assert errors == "netsvc: a warning\nnetsvc: an error\nnetsvc: the worst\n"


def test_a_warning_is_one_line_whatever_is_in_it() -> None:
    assert logged("log.warn('{what}', what='two\\nlines  {of} it')") == "netsvc: two lines {of} it\n"


def test_tracebacks_are_left_out() -> None:
    errors = logged(
        "try: 1 / 0",
        "except ZeroDivisionError:",
        "    log.failure('it failed')",
        "    old.err(None, 'it failed')",
    )
    assert errors == ""


def test_plugins_that_are_left_out_are_named_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    complain_of_left_out(Registry({}, (), {"netsvc_a": "not there", "netsvc_b": "it clashes"}, {}))
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.splitlines() == [
        "netsvc: plugin netsvc_a is left out: not there",
        "netsvc: plugin netsvc_b is left out: it clashes",
    ]
