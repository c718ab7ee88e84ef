"""The manual pages: they are what the commands and the settings say of themselves, and roff takes them."""

from __future__ import annotations

import os
import subprocess
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsvc import manual, roff
from netsvc.commands.main import COMMANDS
from netsvc.commands.manual import command_page
from netsvc.configuration import CommandLine, configuration_of
from netsvc.manual import settings_page
from netsvc.registry import discover
from netsvc.settings import TABLES, settings_of

PAGES = Path(__file__).parent.parent / "etc" / "man"
PATHS = [PAGES / "netsvc.1", PAGES / "netsvc.toml.5"]


def shown(source: str) -> str:
    """A page as a reader sees it, without emphasis and on lines without end."""
    done = subprocess.run(
        ["mandoc", "-Tutf8", "-O", "width=1000"],
        input=source,
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    return "".join(
        done.stdout[i] for i in range(len(done.stdout)) if done.stdout[i + 1 : i + 2] != "\b"
    ).replace("\b", "")


def test_the_pages_are_what_the_definitions_say() -> None:
    # `make man` writes them.
    assert PATHS[0].read_text() == command_page(discover())
    assert PATHS[1].read_text() == settings_page(discover())


@pytest.mark.program("man", "mandoc")
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_roff_finds_nothing_wrong_with_a_page(path: Path) -> None:
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MAN_KEEP_STDERR": "1"}
    groff = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", path],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert groff.stderr == ""
    lint = subprocess.run(["mandoc", "-Tlint", path], capture_output=True, text=True, check=False)
    assert lint.stdout + lint.stderr == ""


@pytest.mark.program("mandoc")
def test_every_command_and_every_setting_has_its_place() -> None:
    commands = shown(PATHS[0].read_text())
    assert [name for name in COMMANDS if f"netsvc {name}" not in commands] == []
    assert "--inherited" in commands
    settings = shown(PATHS[1].read_text())
    names = [one.name for table in TABLES.values() for one in settings_of(table)]
    names += [one.name for service in discover().services.values() for one in service.settings]
    assert [name for name in names if f"{name} = " not in settings] == []


def test_the_example_of_the_configuration_can_be_used() -> None:
    configuration = configuration_of(CommandLine(), discover(), tomllib.loads(manual._EXAMPLE), "it")
    assert [one.service.name for one in configuration.services] == ["echo", "web"]


@pytest.mark.program("mandoc")
@given(text=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60))
def test_whatever_a_text_has_is_shown_and_is_no_request(text: str) -> None:
    lines = [*roff.head("x", 1, "2026-01-01", "x", "x"), roff.heading("NAME"), *roff.prose(f"(\n{text}\n)")]
    lines += [*roff.entry(text, text), *roff.listing([text])]
    read = shown(roff.page(lines))
    assert f"( {text} )" in read
    assert read.count(text) >= 4


def test_a_heading_is_followed_by_no_empty_paragraph() -> None:
    assert roff.page([roff.heading("one"), *roff.prose("two\n\nthree")]) == ".SH one\ntwo\n.PP\nthree\n"
