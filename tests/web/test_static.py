"""The files of the page: what each is, and asking whether it has changed."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from twisted.web.resource import Resource

from netsvc.web.answers import put
from netsvc.web.static import StaticFile, files_in
from tests.web.siterig import Answer, Rig


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    (tmp_path / "index.html").write_text("<!doctype html>")
    (tmp_path / "chat.html").write_text("<!doctype html><title>chat</title>")
    (tmp_path / "style.css").write_text("body {}")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "plot.js").write_text("export {};")
    (tmp_path / "parts" / "inner.html").write_text("")
    (tmp_path / "notes.md").write_text("not of the page")
    rig = Rig()
    root = cast(Resource, rig.site.resource)
    for path, resource in files_in(tmp_path).items():
        put(root, path, resource)
    return rig


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/chat", "text/html; charset=utf-8"),
        ("/static/index.html", "text/html; charset=utf-8"),
        ("/static/style.css", "text/css; charset=utf-8"),
        ("/static/parts/plot.js", "text/javascript; charset=utf-8"),
    ],
)
def test_each_file_has_its_path_and_its_type(rig: Rig, path: str, content_type: str) -> None:
    answer = rig.ask(path)
    assert (answer.status, answer.headers["content-type"]) == (200, content_type)
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "script-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/inner",
        "/static/notes.md",
        "/static",
        "/static/",
        "/static/parts",
        "/chat/",
        "/style.css",
        "/static/../notes.md",
        "/static/%2e%2e/%2e%2e/pyproject.toml",
        "/static//etc/passwd",
        "/static/parts%2fplot.js",
    ],
)
def test_nothing_else_is_there(rig: Rig, path: str) -> None:
    assert rig.ask(path).status == 404


def test_a_file_that_has_not_changed_is_not_sent_again(rig: Rig) -> None:
    tag = rig.ask("/").headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        answer = rig.ask("/", if_none_match=known)
        assert (answer.status, answer.headers["etag"]) == (304, tag)
        assert "content-length" not in answer.headers
    assert rig.ask("/", if_none_match='"other"').status == 200
    assert rig.ask("/static/style.css", if_none_match=tag).status == 200
    assert rig.ask("/chat").headers["etag"] != tag


def test_a_connection_goes_on_behind_a_304(rig: Rig) -> None:
    connection = rig.connect()
    tag = connection.ask("/").headers["etag"]
    assert connection.ask("/", if_none_match=tag).status == 304
    assert connection.ask("/", "HEAD").status == 200
    answer: Answer = connection.ask("/")
    assert answer.body == b"<!doctype html>"


def test_the_same_content_has_the_same_tag() -> None:
    assert StaticFile(b"a", b"text/plain").etag == StaticFile(b"a", b"text/plain").etag
