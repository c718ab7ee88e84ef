"""What Prometheus reads: the daemon's numbers, the process's, and those of plugins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from twisted.web.resource import Resource

from netsvc.counters import Counts
from netsvc.net.listener import Place
from netsvc.settings import Limits
from netsvc.web.answers import put
from netsvc.web.metrics import DaemonCollector, Metrics
from tests.web.siterig import Answer, Rig

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class FakeListener:
    """A listener with numbers of a test's."""

    def __init__(self, place: Place, counts: Counts, most: int | None = None, dropped: int = 0) -> None:
        self._place, self._counts, self._dropped = place, counts, dropped
        limits = None if most is None else Limits(max_connections=most)
        self.listening = limits and type("Listening", (), {"limits": limits, "guards": ()})

    def place(self) -> Place:
        return self._place

    def counted(self) -> Counts:
        return self._counts

    def dropped(self) -> int:
        return self._dropped


PAGE = Path(__file__).parents[2] / "docs" / "web.md"

ECHO = Place("echo", "tcp://127.0.0.1:7", "tcp", "127.0.0.1", 7)
DATAGRAMS = Place("echo", "udp://127.0.0.1:7", "udp", "127.0.0.1", 7)


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.listeners += [
        FakeListener(ECHO, Counts(5, 3, 8, 80, 7, 70, {"deny": 2, "per_address": 1}), most=100),
        FakeListener(DATAGRAMS, Counts(0, 0, 9, 90, 6, 60, {"amplification": 4}), dropped=11),
    ]
    return rig


def samples(answer: Answer) -> Samples:
    assert answer.status == 200
    found = {}
    for family in text_string_to_metric_families(answer.body.decode()):
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in found
            found[key] = sample.value
    return found


def of(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_every_listener_has_its_numbers(rig: Rig) -> None:
    found = samples(rig.ask("/metrics"))
    tcp = {"service": "echo", "listener": "tcp://127.0.0.1:7"}
    udp = {"service": "echo", "listener": "udp://127.0.0.1:7"}
    assert of(found, "netsvc_connections_opened_total", **tcp) == 5
    assert of(found, "netsvc_connections_closed_total", **tcp) == 3
    assert of(found, "netsvc_connections_open", **tcp) == 2
    assert of(found, "netsvc_connections_allowed", **tcp) == 100
    assert of(found, "netsvc_received_messages_total", **tcp) == 8
    assert of(found, "netsvc_received_bytes_total", **udp) == 90
    assert of(found, "netsvc_sent_messages_total", **udp) == 6
    assert of(found, "netsvc_sent_bytes_total", **tcp) == 70
    assert of(found, "netsvc_refused_total", reason="deny", **tcp) == 2
    assert of(found, "netsvc_refused_total", reason="amplification", **udp) == 4
    assert of(found, "netsvc_dropped_datagrams_total", **udp) == 11
    assert ("netsvc_dropped_datagrams_total", frozenset(tcp.items())) not in found
    assert ("netsvc_connections_open", frozenset(udp.items())) not in found


def test_the_daemon_has_its_own(rig: Rig) -> None:
    rig.receive(b"hello")
    rig.hidden = 4
    rig.facts.missed["Ring"] = 3
    rig.ask("/nothing")
    found = samples(rig.ask("/metrics"))
    assert of(found, "netsvc_facts_total") == 1
    assert of(found, "netsvc_timeline_facts") == 1
    assert of(found, "netsvc_timeline_bytes") > 100
    assert of(found, "netsvc_log_lines_hidden_total") == 4
    assert of(found, "netsvc_sink_missed_facts_total", sink="Ring") == 3
    assert of(found, "netsvc_sink_lag_seconds", sink="timeline") == 0
    assert of(found, "netsvc_watchers") == 0
    assert of(found, "netsvc_http_answers_total", status="404") == 1
    assert of(found, "netsvc_ready") == 1
    assert of(found, "netsvc_info", version=rig.view.version) == 1
    # The process's own, as every program has them.
    assert of(found, "process_open_fds") > 0


def test_the_reactors_lag_is_a_histogram(rig: Rig) -> None:
    rig.site.doStart()
    for late in (0.0, 0.002, 0.5):
        rig.clock.rightNow += late
        rig.clock.advance(0.25)
    found = samples(rig.ask("/metrics"))
    rig.site.doStop()
    assert of(found, "netsvc_loop_lag_seconds_count") == 3
    assert of(found, "netsvc_loop_lag_seconds_bucket", le="0.001") == 1
    assert of(found, "netsvc_loop_lag_seconds_bucket", le="0.003") == 2
    assert of(found, "netsvc_loop_lag_seconds_bucket", le="0.3") == 2
    assert of(found, "netsvc_loop_lag_seconds_bucket", le="1.0") == 3
    assert of(found, "netsvc_loop_lag_seconds_sum") == pytest.approx(0.502, abs=1e-4)
    assert of(found, "netsvc_loop_lag_last_seconds") == pytest.approx(0.5, abs=1e-4)
    assert rig.clock.getDelayedCalls() == []


def with_others(rig: Rig, others: CollectorRegistry) -> Rig:
    collector = DaemonCollector(rig.view, rig.shared.lag(rig.clock), rig.shared.answers)
    put(cast(Resource, rig.site.resource), b"/metrics", Metrics(collector, others))
    return rig


def test_plugins_have_theirs_too(rig: Rig) -> None:
    others = CollectorRegistry()
    Counter("shouts", "Answers in capitals", registry=others).inc(7)
    found = samples(with_others(rig, others).ask("/metrics"))
    assert of(found, "shouts_total") == 7
    assert of(found, "netsvc_ready") == 1


def test_a_plugins_metric_that_fails_takes_nobody_elses_along(rig: Rig) -> None:
    class Broken(Collector):
        def collect(self) -> Iterator[Metric]:
            raise RuntimeError("a defect of a plugin's")

        def describe(self) -> Iterator[Metric]:
            return iter(())

    others = CollectorRegistry()
    others.register(Broken())
    found = samples(with_others(rig, others).ask("/metrics"))
    assert of(found, "netsvc_ready") == 1


def test_openmetrics_is_given_to_those_who_accept_it(rig: Rig) -> None:
    answer = rig.ask("/metrics", accept="application/openmetrics-text; version=1.0.0, text/plain;q=0.5")
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    names = [family.name for family in read_openmetrics(answer.body.decode())]
    assert "netsvc_connections_open" in names
    assert answer.body.endswith(b"# EOF\n")
    assert answer.body.count(b"# EOF") == 1


@pytest.mark.parametrize("version", ["x", "1.x", "1e3", "", ".", "²", '1.0.0"'])
@pytest.mark.parametrize("form", ["application/openmetrics-text", "text/plain"])
def test_who_asks_for_a_version_that_is_none_is_answered(rig: Rig, form: str, version: str) -> None:
    answer = rig.ask("/metrics", accept=f"{form}; version={version}; escaping=x")
    assert answer.status == 200
    assert b"netsvc_ready 1.0" in answer.body


def test_a_listeners_name_may_hold_anything(rig: Rig) -> None:
    odd = 'unix:/tmp/"\\\n'
    rig.listeners.append(FakeListener(Place("odd", odd, "unix", "/tmp", None), Counts(1), most=1))
    assert of(samples(rig.ask("/metrics")), "netsvc_connections_open", service="odd", listener=odd) == 1


def test_every_metric_is_in_the_documentation_and_nothing_else_is(rig: Rig) -> None:
    rig.ask("/nothing")
    rig.facts.missed["Ring"] = 1
    text = rig.ask("/metrics").body.decode()
    # A histogram is documented by its own name, and so is everything else by the name that it is asked by.
    there = set(re.findall(r"^(netsvc_[a-z_]+?)(?:_bucket|_count|_sum)?(?:[{ ])", text, re.M))
    documented = set(re.findall(r"`(netsvc_[a-z_]+)`", PAGE.read_text()))
    assert there == documented


def test_what_only_rises_is_a_counter_and_everything_says_what_it_is(rig: Rig) -> None:
    rig.facts.missed["Ring"] = 1
    text = rig.ask("/metrics").body.decode()
    helped = dict(re.findall(r"^# HELP (netsvc_\S+) (\S.*)$", text, re.M))
    typed = dict(re.findall(r"^# TYPE (netsvc_\S+) (\S+)$", text, re.M))
    assert helped.keys() == typed.keys()
    assert {name for name, kind in typed.items() if kind == "counter"} == {
        name for name in typed if name.endswith("_total")
    }
    assert typed["netsvc_loop_lag_seconds"] == "histogram"
    rest = {kind for name, kind in typed.items() if not name.endswith(("_total", "_lag_seconds"))}
    assert rest == {"gauge"}


def test_every_metric_says_what_it_is(rig: Rig) -> None:
    collector: Any = DaemonCollector(rig.view, rig.shared.lag(rig.clock), rig.shared.answers)
    families = list(collector.collect())
    assert all(family.documentation for family in families)
    assert len({family.name for family in families}) == len(families)
