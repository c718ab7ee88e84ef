"""The web service of a real daemon, as curl, http.client and bare sockets see it."""

from __future__ import annotations

import http.client
import json
import re
import select
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from netsvc.web.access import outward_address
from tests.certificates import make_authority
from tests.live.daemon import PATIENCE, Daemon, eventually, read_all, refused, running

pytestmark = pytest.mark.live

#: Clients that begin a head and never end it, one byte at a time.
TRICKLERS = 900


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with running(
        tmp_path_factory.mktemp("daemon"), "--web", "0", "--echo", "0", "--receiver", "0", "--clients", "0"
    ) as daemon:
        yield daemon


def get(daemon: Daemon, path: str, method: str = "GET", **headers: str) -> tuple[int, Any]:
    """One request; its status, and its JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port("web"), timeout=PATIENCE)
    connection.request(
        method, path, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, json.loads(body)


def curl(*arguments: str) -> str:
    """What curl writes on standard output."""
    command = ["curl", "--silent", "--show-error", "--max-time", str(PATIENCE), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def echo(daemon: Daemon, data: bytes) -> None:
    with daemon.connect("echo") as sock:
        sock.sendall(data)
        assert sock.recv(65_536) == data


# -- the API -----------------------------------------------------------------------------------------------


def test_what_arrived_is_found_by_its_content_across_chunks(daemon: Daemon) -> None:
    with daemon.connect("echo") as sock:
        for chunk in (b"first ha", b"lf, second half"):
            sock.sendall(chunk)
            assert sock.recv(100) == chunk
    status, found = get(daemon, "/api/wait?contains=half&service=echo&kind=received")
    assert status == 200
    assert found["facts"][0]["length"] == 15


def test_a_wait_is_answered_by_what_comes_meanwhile(daemon: Daemon) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port("web"), timeout=PATIENCE)
    connection.request("GET", "/api/wait?contains=hex:00ff00&after=last&timeout=20&service=receiver")
    with daemon.datagrams("receiver") as sock:
        # The wait may begin a moment after its request has left.
        while not select.select([connection.sock], [], [], 0.05)[0]:
            sock.send(b"\x00\xff\x00")
    answer = json.loads(connection.getresponse().read())
    assert answer["facts"][0]["data"] == "AP8A"
    assert answer["facts"][0]["transport"] == "udp"
    connection.close()


def test_the_page_and_its_requests_are_no_facts(daemon: Daemon) -> None:
    for path in ("/api/facts", "/api/listeners", "/nothing"):
        get(daemon, path)
    echo(daemon, b"a fact")
    assert {fact["service"] for fact in get(daemon, "/api/facts?limit=10000")[1]["facts"]} <= {
        "echo",
        "receiver",
        "clients",
    }


def test_the_list_of_connections_shows_who_is_here_by_name(daemon: Daemon) -> None:
    with daemon.connect("clients") as sock:
        sock.sendall(b"bench\n")
        read_all(sock)
    with daemon.connect("echo") as sock:
        sock.sendall(b"12345")
        sock.recv(100)
        port = sock.getsockname()[1]
        status, answer = get(daemon, "/api/connections")
        mine = [row for row in answer["connections"] if row["port"] == port]
    assert status == 200
    assert [(row["service"], row["name"], row["bytes_in"], row["messages_out"]) for row in mine] == [
        ("echo", "bench", 5, 1)
    ]
    assert abs(int(mine[0]["opened"]) / 1e9 - time.time()) < PATIENCE
    assert get(daemon, "/api/clients")[1]["clients"]["bench"]["address"] == "127.0.0.1"


def test_listeners_count_what_happens_there(daemon: Daemon) -> None:
    def row() -> dict[str, Any]:
        rows = get(daemon, "/api/listeners")[1]["listeners"]
        url = f"tcp://127.0.0.1:{daemon.port('echo')}"
        return next(row for row in rows if row["listener"] == url)

    before = row()
    echo(daemon, b"seven!!")
    eventually(lambda: row()["closed"] == before["closed"] + 1)
    after = row()
    assert after["bytes_in"] == before["bytes_in"] + 7
    assert after["messages_out"] == before["messages_out"] + 1
    assert after["open"] == 0
    assert {line["program"] for line in after["lines"]} >= {"nc", "socat", "netsvc"}


def test_a_client_that_has_finished_sending_gets_its_whole_answer(daemon: Daemon) -> None:
    with daemon.connect("web") as sock:
        sock.sendall(b"GET /api/wait?contains=never&timeout=0.5 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert b'"0 of 1 within 0.5 seconds"' in read_all(sock)


@pytest.mark.program("curl")
def test_curl_is_answered(daemon: Daemon, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{daemon.port('web')}"
    echo(daemon, b"for curl")
    assert '"data":"Zm9yIGN1cmw="' in curl(f"{url}/api/facts?contains=for+curl")
    lines = curl("-H", "Accept: application/x-ndjson", f"{url}/api/facts?contains=for+curl").splitlines()
    assert all("seq" in json.loads(line) for line in lines)
    head = curl("-I", f"{url}/api/listeners")
    assert head.startswith("HTTP/1.1 200 OK")
    assert "Server: netsvc\n" in head
    big = tmp_path / "big"
    big.write_bytes(b"x" * 70_000)
    assert curl("-w", "%{http_code}", "-o", "/dev/null", "-T", str(big), f"{url}/api/facts") == "413"
    assert curl("-w", "%{http_code}", "-o", "/dev/null", "-H", "Host: evil.example", url) == "403"


# -- what hostile clients do ---------------------------------------------------------------------------------


def test_clients_that_trickle_a_head_are_closed_while_others_are_served(tmp_path: Path) -> None:
    with running(tmp_path, "--web", "0", "--set", "web.handshake_timeout=3") as daemon:
        socks = [daemon.connect("web") for _ in range(TRICKLERS)]
        poll = select.poll()
        for sock in socks:
            poll.register(sock, select.POLLIN)
        head = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-" + b"x" * 1000
        begun, sent, served = time.monotonic(), 0, 0
        waiting = {sock.fileno(): sock for sock in socks}
        while waiting:
            assert time.monotonic() < begun + PATIENCE
            for sock in waiting.values():
                # One that has been closed meanwhile takes no more.
                try:
                    sock.send(head[sent : sent + 1])
                except OSError:
                    continue
            sent += 1
            assert get(daemon, "/readyz")[0] == 200
            served += 1
            for descriptor, _ in poll.poll(50):
                answer = waiting[descriptor].recv(1000)
                assert answer.startswith(b"HTTP/1.1 408 ")
                poll.unregister(descriptor)
                del waiting[descriptor]
        assert served > 5
        for sock in socks:
            sock.close()
        eventually(lambda: len(get(daemon, "/api/connections")[1]["connections"]) == 1)


def test_connections_of_the_page_have_their_limits(tmp_path: Path) -> None:
    asked = b"GET /api/facts?service=web HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with (
        running(tmp_path, "--web", "0", "--echo", "0", "--set", "web.max_connections=2") as daemon,
        daemon.connect("web") as first,
        daemon.connect("web") as second,
    ):
        for sock in (first, second):
            sock.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert sock.recv(1000).startswith(b"HTTP/1.1 200 ")
        # It may be reset before it knows that it was connected.
        with pytest.raises(ConnectionResetError), daemon.connect("web") as third:
            third.recv(1000)
        # Who is inside is served, other services are not in its way, and it is a fact.
        echo(daemon, b"x")
        second.sendall(asked.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert b'"reason":"max_connections"' in read_all(second)


def test_one_client_that_asks_for_a_thousand_things_at_once_is_answered_and_holds_nobody_up(
    daemon: Daemon,
) -> None:
    with daemon.connect("web") as sock:
        asked = threading.Thread(
            target=sock.sendall, args=(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000,)
        )
        asked.start()
        answered = 0
        with sock.makefile("rb") as answers:
            for line in answers:
                answered += line.startswith(b"HTTP/1.1 200 ")
                if line.startswith(b"HTTP/1.1 ") and answered % 100 == 0:
                    echo(daemon, b"meanwhile")
                if answered == 1000:
                    break
        asked.join()


def pour(sock: socket.socket, deadline: float) -> None:
    """Send chunks of a body without end."""
    while time.monotonic() < deadline:
        sock.sendall(b"19000\r\n" + b"x" * 0x19000 + b"\r\n")


def test_a_body_is_never_a_file_and_never_more_than_its_limit(daemon: Daemon) -> None:
    before = daemon.descriptors()
    daemon.forget_peak()
    resident = daemon.memory()
    with daemon.connect("web") as sock:
        sock.sendall(b"POST /api/facts HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n")
        deadline = time.monotonic() + PATIENCE
        # It is told that this is too much; what it sends all the same is thrown away, but not for ever.
        with pytest.raises(ConnectionError):
            pour(sock, deadline)
    assert daemon.peak_memory() < resident + 8_000_000
    eventually(lambda: daemon.descriptors() <= before)


def test_ten_thousand_facts_hold_nobody_up(daemon: Daemon) -> None:
    with daemon.datagrams("receiver") as sock:
        for number in range(12_000):
            sock.send(b"%08d" % number)
            if number % 200 == 0:
                echo(daemon, b"x")
    slow = daemon.connect("web")
    slow.sendall(b"GET /api/facts?limit=10000&service=receiver HTTP/1.1\r\nHost: localhost\r\n\r\n")
    echo(daemon, b"while it is made")
    assert slow.recv(100).startswith(b"HTTP/1.1 200 OK\r\n")
    echo(daemon, b"while it is not read")
    slow.close()
    status, answer = get(daemon, "/api/facts?limit=10000&service=receiver")
    assert status == 200
    assert len(answer["facts"]) == 10_000
    metrics = curl(f"http://127.0.0.1:{daemon.port('web')}/metrics")
    found = re.search(r'^netsvc_loop_lag_seconds_bucket\{le="\+Inf"\} (\S+)$', metrics, re.M)
    assert found is not None


# -- beyond loopback -----------------------------------------------------------------------------------------


def test_beyond_loopback_the_log_has_a_url_to_open_once(tmp_path: Path) -> None:
    with running(tmp_path, "--web", "tcp://0.0.0.0:0") as daemon:
        line = daemon.wait_for_line(r"open http://\S+/\?token=")
        found = re.search(r"open (http://(\S+):(\d+)/\?token=(\S+))", line)
        assert found is not None
        _, host, port, token = found.groups()
        assert int(port) == daemon.port("web")
        assert host == outward_address()
        assert get(daemon, "/api/listeners")[0] == 403
        assert get(daemon, "/api/listeners", Authorization="Bearer wrong")[0] == 403
        assert get(daemon, "/api/listeners", Authorization=f"Bearer {token}")[0] == 200
        assert get(daemon, "/healthz", Host="anything.example") == (200, {"ok": True})
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENCE)
        connection.request("GET", f"/api/listeners?token={token}")
        answer = connection.getresponse()
        assert answer.status == 303
        answer.read()
        cookie = str(answer.headers["Set-Cookie"]).partition(";")[0]
        connection.request("GET", answer.headers["Location"], headers={"Cookie": cookie})
        assert connection.getresponse().status == 200
        connection.close()
        assert daemon.log().count(token) == 1


def test_the_token_of_a_file_is_not_logged(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-a-file\n")
    arguments = ("--interface", "0.0.0.0", "--web", "0", "--set", f"web.token_file={tmp_path}/token")
    with running(tmp_path, *arguments) as daemon:
        assert get(daemon, "/")[0] == 403
        assert get(daemon, "/api/listeners", Authorization="Bearer from-a-file")[0] == 200
        assert "from-a-file" not in daemon.log()


def test_over_tls_it_is_the_same(tmp_path: Path) -> None:
    files = make_authority(tmp_path)
    where = f"tls://127.0.0.1:0?certificate={files.server_certificate}&key={files.server_key}"
    with running(tmp_path, "--web", where) as daemon:
        context = ssl.create_default_context(cafile=str(files.ca))
        connection = http.client.HTTPSConnection(
            "localhost", daemon.port("web", "tls"), timeout=PATIENCE, context=context
        )
        connection.request("GET", "/api/listeners")
        answer = json.loads(connection.getresponse().read())
        assert answer["listeners"][0]["lines"][0]["line"].startswith("curl 'https://localhost:")
        connection.close()


@pytest.mark.program("curl")
def test_over_a_unix_socket_too(tmp_path: Path) -> None:
    with running(tmp_path, "--web", f"unix://{tmp_path}/web.sock", "--echo", "0") as daemon:
        echo(daemon, b"x")
        answer = curl("--unix-socket", f"{tmp_path}/web.sock", "http://localhost/api/facts")
        assert json.loads(answer)["facts"]


# -- start and stop ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--set", "web.token_file=/no/such/file"],
            "web.token_file '/no/such/file': cannot read it: No such",
        ),
        (["--set", "web.max_body=-1"], "--set web.max_body: expected a whole number of bytes from 0"),
        (["--set", "web.hots=a"], "--set web.hots: no such setting; did you mean hosts?"),
        (["--set", "web.hosts=a.example:80"], "web.hosts 'a.example:80': expected a name or an address"),
        (["--set", "web.origins=a.example"], "service web: origin 'a.example': expected such as https://"),
        (["--echo", "ws://127.0.0.1:0/?origin=a.example"], "origin 'a.example': expected such as https://"),
    ],
)
def test_a_setting_that_cannot_be_is_one_line(tmp_path: Path, arguments: list[str], message: str) -> None:
    status, out, err = refused(tmp_path, "--web", "0", *arguments)
    assert (status, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1


def test_those_who_wait_are_answered_when_the_daemon_stops(tmp_path: Path) -> None:
    with running(tmp_path, "--web", "0") as daemon:
        idle = daemon.connect("web")
        waiting = daemon.connect("web")
        waiting.sendall(b"GET /api/wait?timeout=200 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually(lambda: "netsvc_watchers 1.0" in curl(f"http://127.0.0.1:{daemon.port('web')}/metrics"))
        daemon.stop()
        assert b"HTTP/1.1 404 Not Found" in read_all(waiting)
        assert read_all(idle) == b""
        idle.close()
        waiting.close()
    assert "Unhandled" not in daemon.log()
