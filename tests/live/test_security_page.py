"""docs/security.md promises nothing that no test shows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

_PAGE = (TESTS.parent / "docs" / "security.md").read_text()

#: A test, as the page names it.
_TEST = re.compile(r"`([a-z_/]+\.py)::(test_[a-z0-9_]+)`")


def _rows() -> dict[str, list[tuple[str, str]]]:
    _, _, table = _PAGE.partition("\n| promise | shown by |\n|---|---|\n")
    rows = [line.strip("| ").split(" | ") for line in table.partition("\n\n")[0].splitlines()]
    return {promise: _TEST.findall(tests) for promise, tests in rows}


def test_there_is_a_table() -> None:
    assert len(_rows()) > 30


@pytest.mark.parametrize("promise", _rows())
def test_a_promise_is_shown_by_tests_that_are_there(promise: str) -> None:
    tests = _rows()[promise]
    assert tests
    for file, name in tests:
        there = ast.walk(ast.parse((TESTS / file).read_text()))
        functions = (node for node in there if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
        assert any(function.name == name for function in functions), name
