"""What holds for the project's files whatever they say: docstrings, names, sizes, links."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import netsvc

TREE = Path(__file__).parent.parent
OURS = sorted((TREE / "netsvc").rglob("*.py")) + sorted((TREE / "twisted").rglob("*.py"))
ALL = OURS + sorted((TREE / "tests").rglob("*.py")) + sorted((TREE / "bench").rglob("*.py"))
PAGES = [TREE / "README.md", *sorted((TREE / "docs").glob("*.md")), *sorted((TREE / "changes").glob("*.md"))]

#: Words that say nothing of what a thing does.
EMPTY_WORDS = frozenset({"manager", "handler", "processor", "engine", "helper", "util", "utils", "utility"})

#: What a news fragment can tell of; the last part of its file's name.
KINDS_OF_NEWS = frozenset({"feature", "fix", "removal"})

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    """A file's path in the tree."""
    return path.relative_to(TREE).as_posix()


def public(tree: ast.Module | ast.ClassDef) -> Iterator[Definition]:
    """
    The public classes and functions of a module, and the methods that only it can describe.

    Where a class has a base or implements an interface, its methods may be described there.
    """
    for node in tree.body:
        if not isinstance(node, Definition) or node.name.startswith("_"):
            continue
        yield node
        if isinstance(node, ast.ClassDef) and not node.bases and "implementer" not in decorators(node):
            yield from public(node)


def decorators(node: ast.ClassDef) -> set[str]:
    """The plain names of a class's decorators."""
    called = [one.func if isinstance(one, ast.Call) else one for one in node.decorator_list]
    return {one.id for one in called if isinstance(one, ast.Name)}


def undocumented(source: str) -> list[str]:
    """The public things of a source that have no docstring; the file itself is called ``module``."""
    tree = ast.parse(source)
    missing = [] if not tree.body or ast.get_docstring(tree) else ["module"]
    return missing + [node.name for node in public(tree) if not ast.get_docstring(node)]


def empty_words(name: str) -> set[str]:
    """The words of a name, in either style, that say nothing."""
    return {word.lower() for word in _WORD.findall(name)} & EMPTY_WORDS


def anchors(page: str) -> set[str]:
    """The anchors that a page's headings get where Markdown is shown."""
    headings = re.findall(r"^#+ +(.*?) *$", re.sub(r"^```.*?^```", "", page, flags=re.M | re.S), flags=re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    """The links of a page, to files of the tree, that lead nowhere."""
    broken = []
    for link in _LINK.findall(page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            broken.append(link)
    return broken


@pytest.mark.parametrize("path", OURS, ids=name_of)
def test_everything_public_says_what_it_is(path: Path) -> None:
    assert undocumented(path.read_text()) == []


def test_what_has_no_docstring_is_found() -> None:
    source = """
class One:
    '''Said.'''
    def method(self): ...
    def _own(self): ...
class Two(One):
    def method(self): ...
@implementer(IThree)
class Three:
    '''Said.'''
    def method(self): ...
async def function(): ...
"""
    assert undocumented(source) == ["module", "method", "Two", "function"]


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_names_say_something(path: Path) -> None:
    names = [
        path.stem,
        *(node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, Definition)),
    ]
    assert [name for name in names if empty_words(name)] == []


def test_a_name_that_says_nothing_is_found() -> None:
    assert empty_words("SSLHandler") == {"handler"}
    assert empty_words("_start_engine") == {"engine"}
    assert not empty_words("Handled")


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_a_file_is_short_enough_to_read(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= 500


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A head, and `more`\n[1](#a-head-and-more) [2](#no) [3](no.md) [4](page.md#no) [5](https://x.test/)"
    )
    assert broken_links(page) == ["#no", "no.md", "page.md#no"]


def test_the_index_of_the_documentation_has_every_page() -> None:
    linked = set(_LINK.findall((TREE / "docs" / "README.md").read_text()))
    assert {page.name for page in (TREE / "docs").glob("*.md")} - linked == {"README.md"}


def test_the_readme_names_the_two_commands_that_do_everything() -> None:
    readme = (TREE / "README.md").read_text()
    assert "make run" in readme
    assert "make test" in readme


def test_news_is_of_a_known_kind() -> None:
    fragments = [path for path in (TREE / "changes").iterdir() if path.name != "README.md"]
    assert [
        path.name
        for path in fragments
        if path.name.split(".")[1:] not in [[kind, "md"] for kind in KINDS_OF_NEWS]
    ] == []


def test_the_version_is_where_the_build_looks_for_it() -> None:
    project = tomllib.loads((TREE / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["version"]["path"] == "netsvc/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|(a|b|rc)\d+)?", netsvc.__version__)
