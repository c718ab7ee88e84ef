"""SIGHUP: a real daemon reads its configuration again, and whoever may stay notices nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.certificates import Certificates
from tests.live.daemon import PATIENCE, TWISTD, Daemon, eventually, read_all
from tests.live.reloads import (
    ECHO,
    Configured,
    configured,
    listening_inode,
    read_line,
    reload_under_load,
    said,
)
from tests.live.streams import client_context, encrypted
from tests.live.test_web import get
from tests.ports import free_port

pytestmark = pytest.mark.live

#: Reloads under load; `python -m tests.soak.reload` has more of them.
_RELOADS = 20


def _stamped(house: Configured) -> socket.socket:
    return house.daemon.connect("timestamp")


# -- what stays ------------------------------------------------------------------------------------------


def test_what_has_not_changed_keeps_its_socket_and_its_connections(tmp_path: Path) -> None:
    with configured(tmp_path, ECHO) as house:
        port = house.daemon.port("echo")
        inode = listening_inode(port)
        with house.daemon.connect("echo") as sock:
            assert said(sock, b"before") == b"before\n"
            assert "0 opened, 0 closed, 0 changed, 2 as they were" in house.again()
            assert said(sock, b"after") == b"after\n"
        assert (house.daemon.port("echo"), listening_inode(port)) == (port, inode)


def test_other_settings_are_for_those_who_come_afterwards_on_the_same_socket(tmp_path: Path) -> None:
    text = '[net]\ninterface = ["127.0.0.1"]\n[timestamp]\nlisten = 0\n'
    with configured(tmp_path, text) as house:
        port = house.daemon.port("timestamp")
        inode = listening_inode(port)
        with _stamped(house) as before:
            assert said(before, b"x").startswith(b"[")
            assert "0 opened, 0 closed, 1 changed, 0 as they were" in house.again(text + 'style = "plain"\n')
            with _stamped(house) as after:
                assert not said(after, b"x").startswith(b"[")
            assert said(before, b"x").startswith(b"[")
        assert (house.daemon.port("timestamp"), listening_inode(port)) == (port, inode)


def test_datagrams_are_answered_otherwise_by_the_same_socket(tmp_path: Path) -> None:
    text = '[receiver]\nlisten = "udp://127.0.0.1:0"\nack = "received"\nack_text = "%s"\n'
    with configured(tmp_path, text % "one") as house, house.daemon.datagrams("receiver") as sock:
        sock.send(b"before, with some more to be answered")
        assert sock.recv(99) == b"one"
        assert "1 changed" in house.again(text % "two")
        sock.send(b"after, with some more to be answered")
        assert sock.recv(99) == b"two"


def test_limits_hold_at_once_and_count_those_who_are_inside(tmp_path: Path) -> None:
    with configured(tmp_path, ECHO) as house, house.daemon.connect("echo") as inside:
        house.again(ECHO + "max_connections = 1\n")
        # It may be reset before it knows that it was connected.
        with pytest.raises(ConnectionResetError), house.daemon.connect("echo") as late:
            late.recv(99)
        assert said(inside, b"x") == b"x\n"
        house.again(ECHO + "max_connections = 2\n")
        with house.daemon.connect("echo") as late:
            assert said(late, b"x") == b"x\n"


def test_who_is_denied_now_is_not_heard_any_more(tmp_path: Path) -> None:
    text = '[limits]\ntrusted = []\n[echo]\nlisten = "udp://127.0.0.1:0"\n'
    with configured(tmp_path, text) as house, house.daemon.datagrams("echo") as sock:
        sock.send(b"hello")
        assert sock.recv(99) == b"hello"
        house.again(text + 'deny = ["127.0.0.1"]\n')
        sock.send(b"hello")
        house.daemon.wait_for_line("refused .*: deny")


def test_idle_connections_go_by_the_time_they_came_with(tmp_path: Path) -> None:
    with configured(tmp_path, ECHO) as house, house.daemon.connect("echo") as before:
        assert said(before, b"x") == b"x\n"
        house.again(ECHO + "idle_timeout = 0.2\n")
        with house.daemon.connect("echo") as after:
            assert after.recv(99) == b""
        assert said(before, b"x") == b"x\n"


def test_what_is_shared_and_counted_goes_on(tmp_path: Path) -> None:
    text = (
        '[net]\ninterface = ["127.0.0.1"]\n[web]\nlisten = 0\n[chat]\nlisten = 0\n[clients]\nlisten = 0\n'
        "[echo]\nlisten = 0\n"
    )
    with configured(tmp_path, text) as house:
        daemon = house.daemon
        with daemon.connect("clients") as sock:
            sock.sendall(b"bench\n")
            read_all(sock)
        with daemon.connect("echo") as sock:
            assert said(sock, b"x") == b"x\n"
        with daemon.connect("chat") as old:
            old.sendall(b"old\n")
            assert "5 changed" in house.again(text + "[limits]\nwrite_timeout = 7\n")
            with daemon.connect("chat") as new:
                new.sendall(b"new\n")
                assert b"new joined" in read_line(old)
                old.sendall(b"hello\n")
                while b"old: hello" not in read_line(new):
                    pass
            rows = get(daemon, "/api/listeners")[1]["listeners"]
            counted = {row["service"]: row for row in rows if row["transport"] == "tcp"}
            assert counted["echo"]["messages_in"] == 1
            assert counted["chat"]["opened"] == 2
            assert counted["chat"]["open"] >= 1
            assert "bench" in json.dumps(get(daemon, "/api/clients")[1])
            facts = get(daemon, "/api/facts?service=echo")[1]
            assert facts["facts"][0]["kind"] == "opened"


# -- what comes and goes ---------------------------------------------------------------------------------


def test_new_listeners_open_and_dropped_ones_end(tmp_path: Path) -> None:
    web = '[web]\nlisten = "tcp://127.0.0.1:0"\n'
    with configured(tmp_path, ECHO + web) as house:
        daemon, port = house.daemon, house.daemon.port("echo")
        with daemon.connect("echo") as idle:
            assert said(idle, b"x") == b"x\n"
            outcome = house.again(
                f'[timestamp]\nlisten = ["tcp://127.0.0.1:0", "unix://{tmp_path}/t"]\n{web}'
            )
            assert "2 opened, 2 closed, 0 changed, 1 as they were" in outcome
            assert idle.recv(99) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), PATIENCE)
        with daemon.connect("timestamp") as sock:
            assert said(sock, b"x").endswith(b"x\n")
        shown = [row["listener"] for row in get(daemon, "/api/listeners")[1]["listeners"]]
        assert shown == [place["listener"] for place in daemon.places]
        assert {place["service"] for place in daemon.places} == {"timestamp", "web"}
        assert get(daemon, "/healthz")[0] == 200
        metrics = _text(daemon, "/metrics")
        shown = re.findall(r'netsvc_connections_opened_total{.*listener="(.*?)"', metrics)
        assert sorted(shown) == sorted(place["listener"] for place in daemon.places)
        assert (tmp_path / "t").is_socket()
        house.again(web)
        assert not (tmp_path / "t").exists()


def _text(daemon: Daemon, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{daemon.port('web')}{path}", timeout=PATIENCE) as answer:
        return str(answer.read(), "utf-8")


def test_a_dropped_listeners_client_gets_what_is_on_its_way_to_it(tmp_path: Path) -> None:
    # Much more than all buffers between have room for.
    much = b"x" * 30_000_000
    text = '[service.much]\nstream = "much.Much"\nlisten = "tcp://127.0.0.1:0"\n'
    (tmp_path / "much.py").write_text(
        "from twisted.internet.protocol import Protocol\n"
        "class Much(Protocol):\n"
        "    def connectionMade(self):\n"
        f"        self.transport.write(b'x' * {len(much)})\n"
    )
    environment = {"PYTHONPATH": str(tmp_path)}
    with (
        configured(tmp_path, text, environment=environment) as house,
        house.daemon.connect("much") as sock,
    ):
        assert sock.recv(1) == b"x"
        house.again(ECHO)
        assert read_all(sock) == much[1:]


def test_who_does_not_read_is_dropped_after_the_grace(tmp_path: Path) -> None:
    text = "[net]\nshutdown_grace = %s\n[chargen]\nlisten = 'tcp://127.0.0.1:0'\n"
    with configured(tmp_path, text % 1000) as house, house.daemon.connect("chargen") as sock:
        assert sock.recv(1)
        house.again(text % 0.2 + "[echo]\nlisten = 0\n")
        house.again("[net]\nshutdown_grace = 0.2\n[echo]\nlisten = 0\n")
        # It stays in the system's buffers, and nobody reads that.
        eventually(lambda: _is_gone(house, sock.getsockname()[1]))


def _is_gone(house: Configured, port: int) -> bool:
    """Whether the daemon has no connection from a port any more."""
    inodes = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[2].endswith(f":{port:04X}"):
            inodes.add(fields[9])
    return inodes <= {"0"}


def test_another_service_takes_over_an_address_and_the_socket_goes_on(tmp_path: Path) -> None:
    text = '[net]\ninterface = ["127.0.0.1"]\n[%s]\nlisten = ["%s", "unix://' + str(tmp_path) + '/s"]\n'
    with configured(tmp_path, text % ("echo", "0")) as house:
        port = house.daemon.port("echo")
        inode = listening_inode(port)
        with house.daemon.connect("echo") as sock:
            assert said(sock, b"x") == b"x\n"
            outcome = house.again(text % ("whoami", str(port)))
            assert "3 opened, 3 closed" in outcome
            assert sock.recv(99) == b""
        assert listening_inode(port) == inode
        with house.daemon.connect("whoami") as sock:
            assert b"127.0.0.1" in sock.recv(999)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(f"{tmp_path}/s")
            assert sock.recv(999)
        house.again(ECHO)
        assert not (tmp_path / "s").exists()


def test_tls_takes_over_a_port(tmp_path: Path, certificates: Certificates) -> None:
    tls = f'[tls]\ncertificate = "{certificates.server_both}"\n'
    with configured(tmp_path, ECHO + tls) as house:
        port = house.daemon.port("echo")
        inode = listening_inode(port)
        assert "1 opened, 2 closed" in house.again(f'[echo]\nlisten = "tls://127.0.0.1:{port}"\n{tls}')
        assert listening_inode(port) == inode
        raw = socket.create_connection(("127.0.0.1", port), PATIENCE)
        with encrypted(raw, client_context(certificates.ca)) as sock:
            assert said(sock, b"x") == b"x\n"


def test_any_port_stays_the_same_one_also_for_an_interface_that_is_added(tmp_path: Path) -> None:
    with configured(tmp_path, ECHO) as house:
        port = house.daemon.port("echo")
        outcome = house.again(ECHO.replace('"127.0.0.1"', '"127.0.0.1", "127.0.0.2"'))
        assert "2 opened, 0 closed, 0 changed, 2 as they were" in outcome
        assert {place["port"] for place in house.daemon.places} == {port}
        assert len(house.daemon.places) == 4


_NO_IPV6 = pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")


@pytest.mark.parametrize("wide", ["0.0.0.0", pytest.param("::", marks=_NO_IPV6)])
def test_from_one_address_to_all_and_back_no_datagram_is_lost(tmp_path: Path, wide: str) -> None:
    port = free_port()
    text = f'[net]\ninterface = ["%s"]\n[echo]\nlisten = {port}\n'
    with configured(tmp_path, text % "127.0.0.1") as house, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.settimeout(PATIENCE)
        for turn in range(1, 11):
            interface = wide if turn % 2 else "127.0.0.1"
            house.file.write_text(text % interface)
            house.daemon.signal(signal.SIGHUP)
            sent = 0
            while len(house.outcomes()) < turn:
                datagram = b"datagram %d of turn %d" % (sent, turn)
                udp.sendto(datagram, ("127.0.0.1", port))
                assert udp.recv(99) == datagram
                sent += 1
            assert "2 opened, 2 closed, 0 changed, 0 as they were" in house.outcomes()[-1]
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as sock:
                assert said(sock, b"x") == b"x\n"
        assert {place["address"] for place in json.loads((tmp_path / "ready.json").read_text())} == {
            interface
        }


def test_command_line_options_still_win(tmp_path: Path) -> None:
    text = ECHO + '[timestamp]\nlisten = 0\nstyle = "%s"\n'
    arguments = ("--set", "timestamp.style=plain", "--echo", "tcp://127.0.0.1:0")
    with configured(tmp_path, text % "plain", *arguments) as house:
        port = house.daemon.port("echo")
        assert "0 opened, 0 closed, 0 changed, 2 as they were" in house.again(text % "bracket")
        assert house.daemon.port("echo") == port


# -- when it comes ---------------------------------------------------------------------------------------


def test_it_never_ends_the_process_also_while_that_starts_and_stops(tmp_path: Path) -> None:
    # The plugin sends the signal as the daemon is being made, before anything is open; then come the others.
    (tmp_path / "early.py").write_text(
        "import os, signal\n"
        "from twisted.internet.protocol import Protocol\n"
        "os.kill(os.getpid(), signal.SIGHUP)\n"
        "class Early(Protocol):\n"
        "    pass\n"
    )
    text = ECHO + "[service.early]\nstream = 'early.Early'\nlisten = 0\n"
    with configured(tmp_path, text, environment={"PYTHONPATH": str(tmp_path)}) as house:
        daemon = house.daemon
        daemon.wait_for_line("configuration read again: 0 opened, 0 closed, 0 changed, 3 as they were")
        with daemon.connect("echo") as sock:
            assert said(sock, b"x") == b"x\n"
            os.kill(daemon.process.pid, signal.SIGSTOP)
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGHUP):
                daemon.signal(number)
            os.kill(daemon.process.pid, signal.SIGCONT)
            assert sock.recv(99) == b""
        assert daemon.wait() == -signal.SIGTERM
        assert len(house.outcomes()) == 1


def test_a_second_signal_is_done_after_the_first(tmp_path: Path) -> None:
    with configured(tmp_path, ECHO) as house:
        for _ in range(20):
            house.daemon.signal(signal.SIGHUP)
        house.daemon.wait_for_line("configuration read again")
        # By another name first: one of the twenty may be reading it right now.
        another = tmp_path / "another.toml"
        another.write_text(ECHO + "[daytime]\nlisten = 'tcp://127.0.0.1:0'\n")
        another.replace(house.file)
        house.daemon.signal(signal.SIGHUP)
        house.daemon.wait_for_line("configuration read again: 1 opened")
        assert 2 <= len(house.outcomes()) <= 21


def test_a_listener_of_twisteds_own_is_kept_and_changed_and_dropped(tmp_path: Path) -> None:
    text = "[timestamp]\nlisten = 'tcp:0:interface=127.0.0.1'\n"
    with configured(tmp_path, text) as house:
        port = house.daemon.port("timestamp", "endpoint")
        inode = listening_inode(port)
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as before:
            assert said(before, b"x").startswith(b"[")
            assert "1 changed" in house.again(text + "style = 'plain'\n")
            assert said(before, b"x").startswith(b"[")
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as after:
                assert not said(after, b"x").startswith(b"[")
            assert "1 as they were" in house.again()
            assert listening_inode(port) == inode
            other = "[echo]\nlisten = 'tcp:0:interface=127.0.0.1'\n"
            assert "only a restart gives to another service" in house.again(other)
            assert "1 opened, 1 closed" in house.again("[echo]\nlisten = 'tcp://127.0.0.1:0'\n")
            assert before.recv(99) == b""


# -- what else changes -----------------------------------------------------------------------------------


def test_the_ready_file_moves(tmp_path: Path) -> None:
    def text(path: Path) -> str:
        return ECHO.replace("[echo]", f"ready = '{path}'\n[echo]")

    first, second = tmp_path / "ready.json", tmp_path / "second.json"
    # The option, which comes last, would be stronger than the file.
    without = (
        f"import os, sys; os.execv('{TWISTD}', ['twistd', '-n', '--pidfile=', 'netsvc', *sys.argv[1:-2]])"
    )
    with configured(tmp_path, text(first), program=(sys.executable, "-c", without)) as house:
        assert "/ready.json: cannot be written" in house.again(text(Path("/missing/ready.json")))
        assert first.exists()
        house.again(text(second))
        assert not first.exists()
        assert {place["service"] for place in json.loads(second.read_text())} == {"echo"}


def test_what_only_a_restart_changes_is_named(tmp_path: Path) -> None:
    with configured(tmp_path, ECHO) as house:
        house.again(ECHO + f"[journal]\nfile = '{tmp_path}/j.db'\n[timeline]\ntimeline_memory = 70000\n")
        for key in ("journal.file", "timeline.timeline_memory"):
            house.daemon.wait_for_line(f"{key} has changed, which needs a restart")
        assert not (tmp_path / "j.db").exists()


def test_the_supervisor_is_told_before_and_after_also_when_nothing_changes(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
        supervisor.settimeout(PATIENCE)
        supervisor.bind(str(tmp_path / "notify"))
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with configured(tmp_path, ECHO, environment=environment) as house:
            assert b"READY=1" in supervisor.recv(999)
            for text in (ECHO, ECHO + "colour = 1\n"):
                house.again(text)
                told = supervisor.recv(999)
                assert b"RELOADING=1\nMONOTONIC_USEC=" in told
                assert b"READY=1\nSTATUS=listeners open: 2" in supervisor.recv(999)


def test_capture_and_the_rates_of_the_log_change(tmp_path: Path) -> None:
    text = "[web]\nlisten = 'tcp://127.0.0.1:0'\n[receiver]\nlisten = 'udp://127.0.0.1:0'\n"
    with configured(tmp_path, text) as house, house.daemon.datagrams("receiver") as sock:
        sock.send(b"all of this")
        house.daemon.wait_for_line("Got message .*: b'all of this'$")
        house.again(text + "log_rate = 0\n[timeline]\ncapture = 3\n")
        sock.send(b"some of this")
        facts: list[dict[str, object]] = []
        eventually(lambda: len(_facts(house, facts)) == 2)
        assert [fact["data"] for fact in facts] == ["YWxsIG9mIHRoaXM=", "c29t"]
        assert house.daemon.log().count("Got message") == 1


def _facts(house: Configured, found: list[dict[str, object]]) -> list[dict[str, object]]:
    found[:] = get(house.daemon, "/api/facts?service=receiver&kind=received")[1]["facts"]
    return found


def test_reloads_under_load_lose_no_connection_and_no_datagram(
    tmp_path: Path, certificates: Certificates
) -> None:
    both = certificates.server_both.read_bytes()
    context = client_context(certificates.ca)
    clients = reload_under_load(tmp_path, (both, both + b"\n"), context, _RELOADS)
    assert clients.wrong == []
    assert clients.connections > 0
