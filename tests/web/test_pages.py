"""
What holds for the files of the pages, read as text: they keep the policy that they are served with, ask
nobody else for anything, and have no way to make markup of what peers send.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

import netsvc.web

STATIC = Path(netsvc.web.__file__).parent / "static"
PAGES = sorted(STATIC.glob("*.html"))
MODULES = sorted(STATIC.glob("*.js"))
FILES = sorted(path for path in STATIC.iterdir() if path.is_file())

#: What would make markup or code of a text.
_MARKUP = re.compile(
    r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc|eval|Function|createContextualFragment"
    r"|setHTMLUnsafe|parseHTMLUnsafe)\b|\bimport\("
)
_IMPORT = re.compile(r'^import .* from "([^"]+)";|^import "([^"]+)";', re.M)
_ID_ASKED = re.compile(r'byId\("([\w-]+)"\)')


class _Tags(HTMLParser):
    """All start tags of a page, with their attributes."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def name_of(path: Path) -> str:
    """A file's name."""
    return path.name


def reached(module: Path) -> set[Path]:
    """A module and all that it imports, by whatever way."""
    found: set[Path] = set()
    waiting = [module]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += [STATIC / (a or b) for a, b in _IMPORT.findall(path.read_text())]
    return found


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_has_nothing_that_its_policy_forbids(page: Path) -> None:
    for tag, attributes in _Tags(page).tags:
        assert tag not in ("style", "iframe", "object", "embed", "base"), tag
        assert not any(name == "style" or name.startswith("on") for name in attributes), (tag, attributes)
        if tag == "script":
            assert attributes.get("src"), "a script of its own"
            assert attributes.get("type") == "module"
        for name in ("src", "href", "action"):
            assert re.fullmatch(r"(/[\w./-]*|#[\w-]+)?", attributes.get(name) or ""), (tag, attributes)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_an_id_is_there_once_and_what_refers_to_it_finds_it(page: Path) -> None:
    tags = _Tags(page).tags
    ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert sorted(set(ids), key=str) == sorted(ids, key=str)
    referring = ("for", "list", "aria-labelledby", "aria-describedby", "aria-controls")
    for tag, attributes in tags:
        for name in referring:
            if name in attributes:
                assert attributes[name] in ids, (tag, name, attributes[name])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_what_its_modules_look_for_is_there(page: Path) -> None:
    tags = _Tags(page).tags
    ids = {attributes.get("id") for _, attributes in tags}
    (script,) = [attributes["src"] for tag, attributes in tags if tag == "script"]
    assert script is not None
    for module in reached(STATIC / script.removeprefix("/static/")):
        # What a module looks for in functions of another page's is not asked for here.
        wanted = set(_ID_ASKED.findall(module.read_text()))
        if module.stem == Path(script).stem or wanted <= ids:
            assert wanted <= ids, (module.name, wanted - ids)


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_says_at_its_head_what_it_is_for(module: Path) -> None:
    text = module.read_text()
    assert text.startswith("/**"), "no head"
    assert len(text.splitlines()) <= 250
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_a_module_cannot_make_markup_of_a_text(module: Path) -> None:
    assert _MARKUP.findall(module.read_text()) == []


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_nothing_is_fetched_from_elsewhere(path: Path) -> None:
    found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"')]*", path.read_text())
    # A name, not an address: nobody fetches it.
    assert [url for url in found if url != "http://www.w3.org/2000/svg"] == []
    assert "@import" not in path.read_text()


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_what_a_module_imports_is_there_and_used(module: Path) -> None:
    text = module.read_text()
    for names, path in re.findall(r'^import \{([^}]*)\} from "\./([^"]+)";', text, re.M):
        exported = (STATIC / path).read_text()
        for name in (one.strip() for one in names.split(",") if one.strip()):
            assert re.search(rf"^export (async )?(function|class|const) {name}\b", exported, re.M), (
                path,
                name,
            )
            assert len(re.findall(rf"\b{name}\b", text)) > 1, f"{name} is not used"


def test_every_module_is_part_of_a_page() -> None:
    pages = [STATIC / f"{'home' if page.stem == 'index' else page.stem}.js" for page in PAGES]
    assert set().union(*map(reached, pages)) == set(MODULES)


def test_what_is_forbidden_would_be_found() -> None:
    assert _MARKUP.search("node.innerHTML = text")
    assert _MARKUP.search('await import("./" + name)')
    assert not _MARKUP.search("evaluated(text); importantly(1)")
