"""
Honest and rough clients together on one daemon that is reloaded all the while, and then the books compared.

What is compared, when the honest clients have ended in order:

- what each sent and what it got back;
- with the counters of its listener: messages or bytes in and out, connections opened and closed;
- with the journal: as many messages as were counted, and every acknowledged one, once, whole, in order;
- what the daemon says that it lost: nothing.
"""

from __future__ import annotations

import json
import re
import signal
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from tests.certificates import Certificates, make_authority
from tests.live.acknowledged import Load, open_journal
from tests.live.daemon import PATIENCE, Daemon, eventually
from tests.live.streams import client_context
from tests.ports import free_ports
from tests.soak.course import Course, asked, latest, metrics
from tests.soak.honest import (
    Datagrams,
    Honest,
    Registrations,
    Scrapes,
    Sightings,
    Stamped,
    Stream,
    over_tls,
    over_unix,
    plain,
)
from tests.soak.rough import Rough
from tests.soak.tally import Tally

#: Seconds between two reloads.
_RELOAD = 5.0

#: Seconds between two exchanges of one load: some hundred messages a second in all, for as long as it takes.
_INTERVAL = 0.05

#: How memory may grow at a steady load, in MiB an hour, and seconds of load below which that cannot be told:
#: what is resident moves by as much from one minute to the next as it may grow in hours.
_GROWTH, _STEADY = 1.0, 1800.0

_MARK = re.compile("configuration read again")

# What is remembered of facts and of peers is little, so that it is full soon and memory can be judged.
_CONFIGURATION = """
[journal]
file = "journal.db"
size = 0
[timeline]
timeline_memory = 4194304
[limits]
max_connections = 500
tracked_peers = 64
[timestamp]
listen = "tcp://127.0.0.1:{stamp}"
[echo]
listen = [
    "tcp://127.0.0.1:{tcp}", "udp://127.0.0.1:{udp}", "unix://{directory}/echo.sock",
    "tls://127.0.0.1:{tls}?certificate={certificate}",
    "tcp://127.0.0.1:{rough}?{changing}", "tls://127.0.0.1:{rough_tls}?certificate={certificate}",
    "udp://127.0.0.1:{rough_udp}",
]
[receiver]
log_rate = 1
ack = "recorded"
listen = ["udp://127.0.0.1:{ack}", "tcp://127.0.0.1:{ack_tcp}"]
[discard]
listen = "udp://127.0.0.1:{seen}"
[clients]
listen = "tcp://127.0.0.1:{clients}"
[web]
listen = "tcp://127.0.0.1:{web}"
{extra}
"""

#: What changes from one reload to the next: settings of a listener, and a service that comes and goes.
_CHANGES = (
    ("idle_timeout=60", ""),
    ("idle_timeout=90", '[daytime]\nlisten = "tcp://127.0.0.1:{daytime}"'),
)

_PORTS = (
    *("stamp", "tcp", "udp", "tls", "rough", "rough_tls", "rough_udp", "ack", "ack_tcp", "seen"),
    *("clients", "web", "daytime"),
)


class Configuration:
    """
    The file that the daemon reads again and again.

    @ivar path: where it is.
    @ivar ports: by name.
    """

    def __init__(self, directory: Path, ports: dict[str, int], certificates: Certificates) -> None:
        self.path = directory / "netsvc.toml"
        self.ports = ports
        self._values = {**ports, "directory": directory, "certificate": certificates.server_both}
        self._changes = 0
        self.change()

    def change(self) -> None:
        """Write it with the next changes."""
        changing, extra = _CHANGES[self._changes % len(_CHANGES)]
        self._changes += 1
        text = _CONFIGURATION.format(changing=changing, extra=extra.format(**self._values), **self._values)
        self.path.write_text(text)


def honest_loads(configuration: Configuration, context: ssl.SSLContext, random: Random) -> dict[str, Honest]:
    """The loads, by the name of the port whose books they share; an empty name where there are none."""
    ports = configuration.ports
    unix = str(configuration.path.parent / "echo.sock")

    def new() -> Random:
        return Random(random.random())

    return {
        "stamp": Stamped("timestamp", new(), _INTERVAL, plain(ports["stamp"]), 2000),
        "tcp": Stream("echo over TCP", new(), _INTERVAL, plain(ports["tcp"]), 100_000),
        "tls": Stream("echo over TLS", new(), _INTERVAL, over_tls(ports["tls"], context), 100_000),
        "unix": Stream("echo over UNIX", new(), _INTERVAL, over_unix(unix), 100_000),
        "udp": Datagrams("echo over UDP", new(), _INTERVAL, ports["udp"], 60_000),
        "clients": Registrations("registrations", new(), _INTERVAL, ports["clients"]),
        "seen": Sightings("sightings", new(), 10 * _INTERVAL, ports["seen"], ports["web"]),
        "": Scrapes("scrapes", new(), 100 * _INTERVAL, ports["web"]),
    }


class Mixed:
    """
    The whole of it.

    @ivar differences: what was not as it should have been, in words.
    @ivar report: what else there is to tell, line by line.
    """

    def __init__(self, directory: Path, random: Random) -> None:
        """
        @param directory: for the configuration and the journal; a short path, for UNIX sockets.
        @param random: what is random.
        """
        self.differences: list[str] = []
        self.report: list[str] = []
        self._directory = directory
        self._random = random
        self._acknowledged = Load(random, lengths=(40, 200, 1400), pause=_INTERVAL)
        # The books of each load, with what the daemon counted of its listener.
        self._counted: list[tuple[Tally, dict[str, Any]]] = []

    def run(self, seconds: float) -> None:
        """Do it for so long."""
        certificates = make_authority(self._directory)
        configuration = Configuration(self._directory, free_ports(_PORTS), certificates)
        daemon = Daemon(self._directory, "--config", str(configuration.path))
        try:
            self._load(daemon, configuration, client_context(certificates.ca), seconds)
        finally:
            daemon.stop()
        # Not before, because what nobody waits for is written a moment later.
        self._compare_journal()
        self._look_at_log(daemon)

    def _load(
        self, daemon: Daemon, configuration: Configuration, context: ssl.SSLContext, seconds: float
    ) -> None:
        ports = configuration.ports
        # Once without load, so that what the first request opens is there before descriptors are counted.
        metrics(ports["web"])
        descriptors = self._descriptors(daemon)
        loads = honest_loads(configuration, context, self._random)
        rough = Rough(self._random, ports["rough"], ports["rough_tls"], ports["rough_udp"], ports["web"])
        course = Course(daemon)
        acknowledged = self._acknowledged
        reloads = Reloads(daemon, configuration)
        runs: list[Callable[[threading.Event], None]] = [
            *(load.run for load in loads.values()),
            rough.run,
            course.run,
            reloads.run,
        ]
        with acknowledged.on(ports["ack"], ports["ack_tcp"]), _running(runs):
            threading.Event().wait(seconds)
        self._settle(daemon, ports["web"], descriptors)
        self._compare(loads, ports)
        course.write(self._directory / "course.tsv")
        self._tell(loads, rough, reloads, acknowledged, course, metrics(ports["web"]))
        if seconds >= _STEADY and course.slope() > _GROWTH:
            self.differences.append(f"memory grows by {course.slope():.2f} MiB an hour")
        self.differences += reloads.tally.told

    def _settle(self, daemon: Daemon, web: int, descriptors: int) -> None:
        """Wait until everybody has gone."""
        try:
            eventually(lambda: all(one["open"] == 0 for one in _listeners(web) if one["service"] != "web"))
            eventually(lambda: self._descriptors(daemon) <= descriptors)
        except AssertionError:
            left = [one for one in _listeners(web) if one["open"]]
            self.differences.append(
                f"descriptors: {self._descriptors(daemon)}, {descriptors} at the begin; still open: {left}"
            )

    def _descriptors(self, daemon: Daemon) -> int:
        """How many are open, but for the journal's: who reads it opens it at the first question."""
        found = Path(f"/proc/{daemon.process.pid}/fd").iterdir()
        return sum(1 for one in found if not _target(one).startswith(str(self._directory / "journal.db")))

    def _compare(self, loads: dict[str, Honest], ports: dict[str, int]) -> None:
        listeners = _listeners(ports["web"])
        for name, load in loads.items():
            tally = load.tally
            if isinstance(load, Stream | Datagrams):
                tally.expect("bytes that came back", tally.back_bytes, _expected_back(load, tally))
            if name:
                place = "unix" if name == "unix" else str(ports[name])
                (listener,) = [one for one in listeners if place in one["listener"]]
                _compare_counters(tally, listener)
                self._counted.append((tally, listener))
            else:
                self.differences += tally.told
        found = metrics(ports["web"])
        for key, value in found.items():
            if key.startswith(("netsvc_sink_missed_facts_total", "netsvc_dropped_datagrams_total")):
                rough = f":{ports['rough_udp']}" in key
                if value and not rough:
                    self.differences.append(f"{key} is {value:g}")

    def _compare_journal(self) -> None:
        journal = self._directory / "journal.db"
        for tally, listener in self._counted:
            _compare_journal(tally, listener, journal)
            self.differences += tally.told
        try:
            self._acknowledged.assert_recorded(journal)
        except AssertionError as error:
            self.differences.append(f"acknowledged messages: {error}")

    def _tell(
        self,
        loads: dict[str, Honest],
        rough: Rough,
        reloads: Reloads,
        acknowledged: Load,
        course: Course,
        found: Any,
    ) -> None:
        memory, descriptors = course.most()
        sent = sum(load.tally.sent for load in loads.values())
        connections = sum(load.tally.opened for load in loads.values())
        self.report += [
            f"{sent:,} messages of honest clients over {connections:,} connections, all answered",
            f"{acknowledged.acknowledged:,} messages acknowledged as recorded",
            f"{rough.attacks:,} attacks, {reloads.done:,} reloads",
            f"memory: {memory:.1f} MiB at most; {course.slope():+.2f} MiB an hour in the last half",
            f"descriptors: {descriptors} at most",
            f"the loop's lag: {latest(found)}",
        ]

    def _look_at_log(self, daemon: Daemon) -> None:
        log = daemon.log()
        (self._directory / "log").write_text(log, errors="surrogateescape")
        if tracebacks := log.count("Traceback"):
            self.differences.append(f"the log has {tracebacks} tracebacks")
        if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", log):
            self.differences.append("the log has control characters in it")


class Reloads:
    """
    SIGHUP, again and again.

    @ivar done: how many there were.
    @ivar tally: what went wrong.
    """

    def __init__(self, daemon: Daemon, configuration: Configuration) -> None:
        self.done = 0
        self.tally = Tally("reloads")
        self._daemon = daemon
        self._configuration = configuration

    def run(self, stop: threading.Event) -> None:
        """Reload until told to stop, and then until it is as at the begin."""
        while not stop.wait(_RELOAD) or self.done % len(_CHANGES):
            self._configuration.change()
            self._daemon.signal(signal.SIGHUP)
            self.done += 1
            try:
                eventually(lambda: self._seen() >= self.done)
            except AssertionError:
                self.tally.differ(f"reload {self.done} is not in the log")
                return

    def _seen(self) -> int:
        return sum(1 for line in self._daemon.lines if _MARK.search(line))


def _target(descriptor: Path) -> str:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:
        # It was closed meanwhile.
        return ""


def _expected_back(load: Honest, tally: Tally) -> int:
    if isinstance(load, Stamped):
        return tally.sent_bytes + 27 * tally.sent
    return tally.sent_bytes


def _compare_counters(tally: Tally, listener: dict[str, Any]) -> None:
    tally.expect("bytes in, counted", listener["bytes_in"], tally.sent_bytes)
    tally.expect("bytes out, counted", listener["bytes_out"], tally.back_bytes)
    if listener["transport"] == "udp":
        tally.expect("datagrams in, counted", listener["messages_in"], tally.sent)
    else:
        tally.expect("connections opened, counted", listener["opened"], tally.opened)
        tally.expect("connections closed, counted", listener["closed"], tally.opened)
    tally.expect("refused", listener["refused"], {})


def _compare_journal(tally: Tally, listener: dict[str, Any], journal: Path) -> None:
    with open_journal(journal) as connection:
        found = {
            kind: (count, size)
            for kind, count, size in connection.execute(
                "SELECT kind, count(*), ifnull(sum(length), 0) FROM fact WHERE listener = ? GROUP BY kind",
                (listener["listener"],),
            )
        }
    nothing = (0, 0)
    tally.expect("bytes received, recorded", found.get("received", nothing)[1], tally.sent_bytes)
    tally.expect("bytes sent, recorded", found.get("sent", nothing)[1], tally.back_bytes)
    tally.expect("messages received, recorded", found.get("received", nothing)[0], listener["messages_in"])
    if listener["transport"] != "udp":
        tally.expect("opened, recorded", found.get("opened", nothing)[0], tally.opened)
        tally.expect("closed, recorded", found.get("closed", nothing)[0], tally.opened)


def _listeners(web: int) -> list[dict[str, Any]]:
    return list(json.loads(asked(web, "/api/listeners"))["listeners"])


@contextmanager
def _running(runs: Sequence[Callable[[threading.Event], None]]) -> Iterator[None]:
    """Threads for the time of a with statement."""
    stop = threading.Event()
    threads = [threading.Thread(target=run, args=(stop,), daemon=True) for run in runs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(2 * PATIENCE)
