"""Completion in the shells: the scripts, and what they ask the command."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.commands.programs import NETSVC, netsvc
from tests.live.daemon import PATIENCE

SHELLS = ("bash", "zsh", "fish")


def completed(shell: str, *words: str) -> list[str]:
    """
    What a shell would offer for the last word of a line.

    @param words: those before it may be whole ones only.
    """
    place = words[-1] if shell == "fish" else str(len(words))
    environment = {
        "_NETSVC_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": " ".join(("netsvc", *words)),
        "COMP_CWORD": place,
    }
    status, output, errors = netsvc(environment=environment)
    assert (status, errors) == (0, "")
    return output.decode().splitlines()


def script(shell: str) -> str:
    """The script that a user loads into a shell."""
    status, output, errors = netsvc(environment={"_NETSVC_COMPLETE": f"{shell}_source"})
    assert (status, errors) == (0, "")
    return output.decode()


@pytest.mark.parametrize("shell", SHELLS)
def test_there_is_a_script_for_each_shell(shell: str) -> None:
    text = script(shell)
    assert f"_NETSVC_COMPLETE={shell}_complete" in text
    assert "_netsvc_completion" in text


@pytest.mark.parametrize(
    ("shell", "name", "option"),
    [
        ("bash", ["plain,talk"], ["plain,--rate"]),
        ("zsh", ["plain", "talk"], ["plain", "--rate"]),
        ("fish", ["plain,talk"], ["plain,--rate"]),
    ],
)
def test_a_command_and_an_option_are_completed(shell: str, name: list[str], option: list[str]) -> None:
    for words, expected in ((["tal"], name), (["bench", "--ra"], option)):
        # zsh and fish get the line of the help too.
        offered = [line.partition("\t")[0] for line in completed(shell, *words)]
        assert offered[: len(expected)] == expected
        assert len(offered) <= 3


def test_a_command_in_a_group_is_completed() -> None:
    assert completed("bash", "journal", "pru") == ["plain,prune"]
    assert completed("bash", "journal", "export", "netsvc.d") == ["file,netsvc.d"]


def test_choices_and_files_are_completed() -> None:
    assert completed("bash", "talk", "--eol", "c") == ["plain,crlf"]
    for words in (["talk", "--ca"], ["send", "x", "--file"], ["listen", "--file"], ["check", "--config"]):
        assert completed("bash", *words, "some") == ["file,some"]


@pytest.mark.parametrize("command", ["serve", "check"])
def test_the_daemons_options_are_completed(command: str) -> None:
    assert completed("bash", command, "--timest") == ["plain,--timestamp"]
    assert completed("bash", command, "--conf") == ["plain,--config"]
    assert "file,netsvc.t" in completed("bash", command, "--ready", "netsvc.t")


@pytest.mark.program("bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [("netsvc gre", "greet"), ("netsvc clients --wa", "--watch")],
    ids=["command", "option"],
)
def test_bash_completes_with_the_script(tmp_path: Path, words: str, expected: str) -> None:
    (tmp_path / "script").write_text(script("bash"))
    line = " && ".join(
        (
            f"source {tmp_path}/script",
            "complete -p netsvc >/dev/null",
            f"COMP_WORDS=({words})",
            "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))",
            "_netsvc_completion netsvc",
            'printf "%s\\n" "${COMPREPLY[@]}"',
        )
    )
    assert _bash(line, {"PATH": f"{Path(NETSVC).parent}{os.pathsep}{os.environ['PATH']}"}) == f"{expected}\n"


def _bash(line: str, environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        ["bash", "--norc", "-c", line],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env={**os.environ, **environment},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
