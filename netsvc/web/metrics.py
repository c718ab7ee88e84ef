"""``GET /metrics``: the daemon's numbers as Prometheus reads them, and those of plugins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from twisted.logger import Logger

from netsvc.interfaces import IDaemonView
from netsvc.web.answers import Leaf
from netsvc.web.asking import accept_of, refuse_query
from netsvc.web.lag import Lag

_log = Logger(namespace="netsvc.web")

#: What is counted of each listener: the key in `IDaemonView.listeners`, the metric's name, and what it is.
_COUNTED = (
    ("opened", "netsvc_connections_opened", "Connections that reached the service"),
    ("closed", "netsvc_connections_closed", "Of those, how many have ended"),
    ("messages_in", "netsvc_received_messages", "Chunks and datagrams received"),
    ("bytes_in", "netsvc_received_bytes", "Bytes received"),
    ("messages_out", "netsvc_sent_messages", "Chunks and datagrams sent"),
    ("bytes_out", "netsvc_sent_bytes", "Bytes sent"),
    ("dropped", "netsvc_dropped_datagrams", "Datagrams that the system dropped for want of room"),
)

_LABELS = ("service", "listener")

#: What only connections have, and only datagrams.
_OF_CONNECTIONS = frozenset({"opened", "closed"})
_OF_DATAGRAMS = frozenset({"dropped"})


class DaemonCollector(Collector):
    """What the daemon counts, read when somebody asks."""

    def __init__(self, view: IDaemonView, lag: Lag, answers: Mapping[int, int]) -> None:
        """
        @param view: the daemon.
        @param lag: how late the reactor is.
        @param answers: how many answers of this site there were, by status.
        """
        self._view = view
        self._lag = lag
        self._answers = answers

    def collect(self) -> Iterator[Metric]:
        """See `prometheus_client.registry.Collector`."""
        view = self._view
        yield InfoMetricFamily("netsvc", "What runs", value={"version": view.version})
        yield GaugeMetricFamily("netsvc_start_time_seconds", "When it started, since the epoch", view.started)
        yield GaugeMetricFamily("netsvc_ready", "Whether every listener is open", float(view.ready()))
        yield from self._of_listeners()
        yield from self._of_facts()
        yield from self._of_process()

    def _of_listeners(self) -> Iterator[Metric]:
        rows = self._view.listeners()
        for key, name, text in _COUNTED:
            counter = CounterMetricFamily(name, text, labels=_LABELS)
            for row in rows:
                if key not in (_OF_CONNECTIONS if row["max_connections"] is None else _OF_DATAGRAMS):
                    counter.add_metric([row[label] for label in _LABELS], row[key])
            yield counter
        open_now = GaugeMetricFamily("netsvc_connections_open", "Connections open now", labels=_LABELS)
        allowed = GaugeMetricFamily("netsvc_connections_allowed", "At most open at once", labels=_LABELS)
        refused = CounterMetricFamily(
            "netsvc_refused", "Connections and datagrams refused", labels=(*_LABELS, "reason")
        )
        for row in rows:
            labels = [row[label] for label in _LABELS]
            if row["max_connections"] is not None:
                open_now.add_metric(labels, row["open"])
                allowed.add_metric(labels, row["max_connections"])
            for reason, count in row["refused"].items():
                refused.add_metric([*labels, reason], count)
        yield from (open_now, allowed, refused)

    def _of_facts(self) -> Iterator[Metric]:
        view = self._view
        timeline = view.timeline
        yield GaugeMetricFamily("netsvc_timeline_facts", "Facts in memory", float(len(timeline)))
        yield GaugeMetricFamily("netsvc_timeline_bytes", "Memory that they take", float(timeline.size))
        yield CounterMetricFamily("netsvc_facts", "Facts noted", float(timeline.taken))
        yield GaugeMetricFamily(
            "netsvc_watchers", "Who watches or waits for facts", float(len(view.watchers))
        )
        lag = GaugeMetricFamily(
            "netsvc_sink_lag_seconds",
            "Age of the oldest fact that a sink has not taken yet",
            labels=("sink",),
        )
        for sink, age in view.sink_lag().items():
            lag.add_metric([sink], age)
        missed = CounterMetricFamily("netsvc_sink_missed_facts", "Facts that a sink lost", labels=("sink",))
        for sink, count in view.missed().items():
            missed.add_metric([sink], count)
        yield from (lag, missed)

    def _of_process(self) -> Iterator[Metric]:
        lag, view = self._lag, self._view
        yield CounterMetricFamily("netsvc_log_lines_hidden", "Log lines left out", float(view.lines_hidden()))
        yield GaugeMetricFamily("netsvc_loop_lag_last_seconds", "How late the reactor was last", lag.last)
        yield HistogramMetricFamily(
            "netsvc_loop_lag_seconds", "How late the reactor is", buckets=lag.buckets(), sum_value=lag.total
        )
        answers = CounterMetricFamily("netsvc_http_answers", "Answers of the web service", labels=("status",))
        for status, count in sorted(self._answers.items()):
            answers.add_metric([str(status)], count)
        yield answers


class Metrics(Leaf):
    """``/metrics``: the daemon's, and what the default registry has of plugins and of the process."""

    def __init__(self, collector: Collector, others: CollectorRegistry = REGISTRY) -> None:
        """
        @param collector: the daemon's own.
        @param others: where plugins have theirs.
        """
        super().__init__()
        self._own = CollectorRegistry(auto_describe=False)
        self._own.register(collector)
        self._others = others

    def render_GET(self, request: Any) -> bytes:
        """All metrics, in the form that the client accepts."""
        refuse_query(request)
        encode, content_type = _chosen(accept_of(request))
        request.setHeader(b"Content-Type", content_type.encode("ascii"))
        try:
            return _encoded(encode, self._own, self._others)
        except Exception:  # noqa: BLE001 - a plugin's metrics may fail with anything; netsvc's own are given then
            _log.failure("plugins' metrics are left out, because they cannot be read")
            return _encoded(encode, self._own)


def _chosen(accept: str) -> tuple[Callable[[Any], bytes], str]:
    """How to encode, and what to call that."""
    try:
        return choose_encoder(accept if accept.isascii() else "")
    except (TypeError, ValueError):
        # It asks for a version that is none.
        return choose_encoder("")


class _Together:
    """Several registries as one."""

    def __init__(self, registries: Iterable[CollectorRegistry]) -> None:
        self._registries = registries

    def collect(self) -> Iterator[Metric]:
        for registry in self._registries:
            yield from registry.collect()


def _encoded(encode: Callable[[Any], bytes], *registries: CollectorRegistry) -> bytes:
    return encode(_Together(registries))
