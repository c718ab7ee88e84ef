"""The runbook has every message that netsvc may write to its log."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

_PROJECT = Path(__file__).parents[1]
_RUNBOOK = (_PROJECT / "docs" / "runbook.md").read_text()

#: What a logger of Twisted's, or `netsvc.net.rarelog`, is asked for by whom an administrator should hear.
_CALLS = frozenset({"info", "warn", "error", "critical", "failure"})


def _messages() -> Iterator[tuple[str, str]]:
    for path in sorted((_PROJECT / "netsvc").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if node.func.attr not in _CALLS or path.parent.name == "commands":
                continue
            texts = [one.value for one in node.args if isinstance(one, ast.Constant) and _is_text(one.value)]
            if texts:
                yield str(path.relative_to(_PROJECT)), str(texts[-1])


def _is_text(value: object) -> bool:
    return isinstance(value, str) and (" " in value or "{" in value)


@pytest.mark.parametrize(("path", "message"), sorted(set(_messages())))
def test_a_message_of_the_log_is_in_the_runbook(path: str, message: str) -> None:
    assert f"`{message}" in _RUNBOOK, f"{path}: docs/runbook.md does not say what to do about {message!r}"
