"""Facts as lines."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest

from netsvc.commands.factlines import SHOWN, json_line, text_line


def fact(data: bytes | None = b"hello", **changed: Any) -> dict[str, Any]:
    """A fact as the API has it."""
    return {
        "seq": 1795177666958230,
        "time": "1795177666958230001",
        "kind": "received",
        "service": "echo",
        "listener": "tcp://127.0.0.1:8009",
        "transport": "tcp",
        "address": "127.0.0.1",
        "port": 40312,
        "local": "127.0.0.1:8009",
        "connection": 7,
        "name": None,
        "length": None if data is None else len(data),
        "data": None if data is None else base64.b64encode(data).decode(),
        "reason": None,
        **changed,
    }


def after_the_time(line: str) -> str:
    """A line without its time, which is local."""
    found = re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.(\d{6})  (.*)", line)
    assert found
    assert found[1] == "958230"
    return found[2]


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (fact(), "received  echo  tcp 127.0.0.1:40312  #7 b'hello'"),
        (fact(name="ann"), "received  echo  tcp 127.0.0.1:40312 (ann)  #7 b'hello'"),
        (fact(b"", connection=None), "received  echo  tcp 127.0.0.1:40312  b''"),
        (fact(address="::1"), "received  echo  tcp [::1]:40312  #7 b'hello'"),
        (fact(None, kind="opened"), "opened    echo  tcp 127.0.0.1:40312  #7"),
        (
            fact(None, kind="closed", reason="fin", bytes_in=5, duration=0.123456789),
            "closed    echo  tcp 127.0.0.1:40312  #7 fin bytes_in=5 duration=0.123457",
        ),
        (
            fact(
                None,
                kind="opened",
                transport="unix",
                address="",
                port=None,
                tls={"version": "TLSv1.3"},
                proxy=None,
            ),
            'opened    echo  unix  #7 tls={"version": "TLSv1.3"}',
        ),
    ],
)
def test_a_fact_is_one_line(shown: dict[str, Any], expected: str) -> None:
    assert after_the_time(text_line(shown, in_hex=False)) == expected


def test_bytes_can_be_shown_as_hexadecimal() -> None:
    assert text_line(fact(b"\x00\xff"), in_hex=True).endswith("#7 00 ff")
    assert text_line(fact(b""), in_hex=True).endswith("#7 ''")


def test_of_a_long_message_its_beginning_is_shown() -> None:
    line = text_line(fact(b"x" * 4096, length=65_507), in_hex=False)
    assert line.endswith(f"#7 b'{'x' * SHOWN}' and {65_507 - SHOWN:,} bytes more")


def test_what_peers_sent_does_nothing_on_a_terminal() -> None:
    evil = "\x1b]0;x\x07\r\n\x9b\u202e\x7f"
    shown = fact(bytes(range(256)), name=evil, address=evil, reason=evil, what=evil)
    for line in (text_line(shown, in_hex=False), text_line(shown, in_hex=True), json_line(shown)):
        assert line.isprintable()


def test_a_line_of_json_is_what_the_api_said() -> None:
    shown = fact(name="\u202e\x7fann")
    assert json.loads(json_line(shown)) == shown


@pytest.mark.parametrize(
    "bad", [{"time": "x"}, {"time": None}, {"time": "9" * 30}, {"data": "?"}, {"service": None}]
)
def test_a_fact_of_another_form_is_shown_all_the_same(bad: dict[str, Any]) -> None:
    assert "received" in text_line({**fact(), **bad}, in_hex=False)
