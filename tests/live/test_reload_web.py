"""SIGHUP and the web service: its doors, and what it carries."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from typing import Any

import pytest

from tests.live.daemon import PATIENCE
from tests.live.reloads import (
    configured,
)
from tests.live.test_web import get
from tests.live.websockets import WebSocketClient
from tests.web.frames import TEXT, frame

pytestmark = pytest.mark.live


def test_the_web_services_doors_change(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("the-first-token-of-all")
    text = f"[web]\nlisten = 'tcp://127.0.0.1:0'\ntoken_file = '{tmp_path}/token'\nproxies = []\n"
    with configured(tmp_path, text) as house:
        daemon = house.daemon
        assert get(daemon, "/api/listeners", Host="bench.example")[0] == 403
        assert "1 changed" in house.again(text + "hosts = ['bench.example']\n")
        assert get(daemon, "/api/listeners", Host="bench.example")[0] == 200
        (tmp_path / "token").write_text("the-second-token-of-all")
        assert "1 changed" in house.again()
        assert "0 changed, 1 as they were" in house.again()
        with WebSocketClient.to(daemon, "echo", Origin="https://app.example") as client:
            assert client.status == 403
        house.again(text + "origins = ['https://app.example']\n")
        with WebSocketClient.to(daemon, "echo", Origin="https://app.example") as client:
            assert client.status == 101


def _answered(connection: http.client.HTTPConnection, path: str, method: str = "GET", **headers: str) -> Any:
    """The status and the JSON of one request on a connection that stays."""
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_the_doors_are_those_of_now_also_for_a_connection_from_before(tmp_path: Path) -> None:
    text = "[web]\nlisten = 'tcp://127.0.0.1:0'\n"
    with configured(tmp_path, text) as house:
        connection = http.client.HTTPConnection("127.0.0.1", house.daemon.port("web"), timeout=PATIENCE)
        assert _answered(connection, "/api/listeners", Host="bench.example")[0] == 403
        house.again(text + "hosts = ['bench.example']\n")
        assert _answered(connection, "/api/listeners", Host="bench.example")[0] == 200
        house.again(text)
        assert _answered(connection, "/api/listeners", Host="bench.example")[0] == 403
        house.again("[echo]\nlisten = 0\n")
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            _answered(connection, "/api/listeners")
        connection.close()


def test_how_many_may_watch_changes_and_those_who_do_go_on(tmp_path: Path) -> None:
    text = "[web]\nlisten = 'tcp://127.0.0.1:0'\nmax_watchers = %d\n"
    with configured(tmp_path, text % 1) as house, WebSocketClient.to(house.daemon, "facts") as first:
        assert first.status == 101
        assert get(house.daemon, "/api/wait?timeout=0")[0] == 503
        house.again(text % 2)
        assert get(house.daemon, "/api/wait?timeout=0")[0] != 503
        house.again(text % 1)
        assert get(house.daemon, "/api/wait?timeout=0")[0] == 503


def test_a_table_that_does_only_with_an_override_is_no_service_over_websocket(tmp_path: Path) -> None:
    text = (
        "[web]\nlisten = 'tcp://127.0.0.1:0'\n[receiver]\nack = '%s'\nlisten = 'udp://127.0.0.1:0?ack=off'\n"
    )
    with configured(tmp_path, text % "recorded") as house:
        for _ in range(2):
            with WebSocketClient.to(house.daemon, "receiver") as client:
                assert client.status == 503
        line = house.daemon.wait_for_line("/ws/receiver cannot be served: ")
        assert line.endswith("service receiver: `ack = recorded` needs a journal: expected --journal FILE\n")
        house.again(text % "received")
        with WebSocketClient.to(house.daemon, "receiver") as client:
            assert client.status == 101


def test_long_polling_goes_on(tmp_path: Path) -> None:
    text = "[web]\nlisten = 'tcp://127.0.0.1:0'\n"
    with configured(tmp_path, text) as house:
        connection = http.client.HTTPConnection("127.0.0.1", house.daemon.port("web"), timeout=PATIENCE)
        session = _answered(connection, "/api/chat", "POST")[1]["session"]
        connection.request("POST", f"/api/chat/{session}", json.dumps({"type": "join", "name": "polling"}))
        connection.getresponse().read()
        assert "1 changed" in house.again(text + "max_body = 1000\n")
        another = http.client.HTTPConnection("127.0.0.1", house.daemon.port("web"), timeout=PATIENCE)
        for one in (connection, another):
            status, answer = _answered(one, f"/api/chat/{session}?after=0&wait=0")
            assert status == 200
            assert "here" in str(answer["messages"])
            one.close()


def test_what_the_web_service_carries_follows_the_services_own_settings(tmp_path: Path) -> None:
    text = "[web]\nlisten = 'tcp://127.0.0.1:0'\n[timestamp]\nlisten = 'tcp://127.0.0.1:0'\nstyle = '%s'\n"
    with configured(tmp_path, text % "bracket") as house:
        daemon = house.daemon
        with WebSocketClient.to(daemon, "timestamp") as before:
            before.send(frame(TEXT, b"x"))
            first = before.next()
            assert first is not None
            assert first.payload.startswith(b"[")
            house.again(text % "plain")
            with WebSocketClient.to(daemon, "timestamp") as after:
                after.send(frame(TEXT, b"x"))
                second = after.next()
                assert second is not None
                assert not second.payload.startswith(b"[")
            before.send(frame(TEXT, b"x"))
            third = before.next()
            assert third is not None
            assert third.payload.startswith(b"[")
            # Without the service there is nobody to talk to.
            house.again("[web]\nlisten = 'tcp://127.0.0.1:0'\n")
            assert before.rest() != []
        with WebSocketClient.to(daemon, "timestamp") as late:
            assert late.status == 404
