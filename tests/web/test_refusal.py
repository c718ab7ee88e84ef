"""What a person sees in a browser where there is no page."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode
from pathlib import Path

import pytest

from tests.web.siterig import ELSEWHERE, HERE, TOKEN, Rig

BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"


@pytest.fixture
def beyond(tmp_path: Path) -> Rig:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    return Rig(address="0.0.0.0", token_file=str(file))


def test_who_has_no_token_gets_a_field_for_it(beyond: Rig) -> None:
    answer = beyond.connect(ELSEWHERE).ask("/chat?x=1", accept=BROWSER)
    assert answer.status == 403
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = answer.body.decode()
    assert "A token is needed" in page
    assert '<form method="get" action="/chat">' in page
    assert TOKEN not in page


def test_its_style_is_the_only_thing_that_its_policy_lets_in(beyond: Rig) -> None:
    answer = beyond.connect(ELSEWHERE).ask("/", accept=BROWSER)
    (style,) = re.findall(b"<style>(.*?)</style>", answer.body)
    allowed = b64encode(hashlib.sha256(style).digest()).decode("ascii")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{allowed}';")
    assert "frame-ancestors 'none'" in policy


def test_what_is_not_there_is_a_page_without_a_field() -> None:
    answer = Rig().connect(HERE).ask("/nowhere", accept=BROWSER)
    assert answer.status == 404
    assert b"<h1>404 Not Found</h1>" in answer.body
    assert b"<form" not in answer.body


@pytest.mark.parametrize("path", ["/%22%3E%3Cscript%3E", "//elsewhere.example/%22", '/"><script>'])
def test_nothing_of_the_request_becomes_markup(beyond: Rig, path: str) -> None:
    answer = beyond.connect(ELSEWHERE).ask(path, accept=BROWSER)
    if answer.status == 403:
        assert b"<script" not in answer.body
        assert b'action="//' not in answer.body


@pytest.mark.parametrize(
    ("path", "accept"),
    [("/", "*/*"), ("/", "application/json"), ("/api/facts", BROWSER), ("/ws/echo", BROWSER)],
)
def test_programs_get_json(beyond: Rig, path: str, accept: str) -> None:
    answer = beyond.connect(ELSEWHERE).ask(path, accept=accept)
    assert answer.status == 403
    assert answer.headers["content-type"] == "application/json"


def test_head_has_the_same_head(beyond: Rig) -> None:
    answer = beyond.connect(ELSEWHERE).ask("/", "HEAD", accept=BROWSER)
    assert answer.status == 403
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.body == b""
