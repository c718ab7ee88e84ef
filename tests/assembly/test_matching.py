"""Which of the listeners that run are those that a new configuration asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from netsvc.assembly.matching import Matching
from netsvc.assembly.planning import Wanted
from netsvc.assembly.running import Running, makeup_of
from netsvc.configuration import CommandLine, Configuration, ServiceConfiguration, configuration_of
from netsvc.net.binding import Binding, bindings_of
from netsvc.net.machine import this_machine
from netsvc.net.where import parse_where
from netsvc.registry import discover
from netsvc.settings import TLS, Net

_REGISTRY = discover()


def _configuration(**tables: Any) -> Configuration:
    return configuration_of(CommandLine(), _REGISTRY, tables)


def _service(name: str, where: str, **settings: Any) -> tuple[ServiceConfiguration, tuple[Binding, ...]]:
    (service,) = _configuration(**{name: {"listen": where, **settings}}).services
    return service, bindings_of(
        parse_where(where, frozenset({"tcp"})),
        service=service.service,
        transports=service.listen[0].transports,
        settings=service.settings,
        limits=service.limits,
        net=Net(interface=["127.0.0.1"]),
        tls=TLS(certificate="server.pem"),
        origin=f"{name}.listen",
        machine=this_machine({}, 0),
    )


def _running(name: str, where: str, port: int = 0) -> list[Running]:
    """What runs after such a WHERE, on a port that the system chose."""
    service, bindings = _service(name, where)
    return [
        Running(
            service,
            replace(one, port=port) if one.port == 0 else one,
            one.port == 0,
            (),
            cast(Any, object()),
        )
        for one in bindings
    ]


def _wanted(name: str, where: str) -> Wanted:
    return Wanted(*_service(name, where))


def _found(matching: Matching, wanted: Wanted) -> list[Running | None]:
    """What one WHERE alone gets."""
    (found,) = matching.each([wanted])
    return found


def test_the_same_where_finds_the_same_listeners() -> None:
    running = _running("echo", "7007")
    matching = Matching(running)
    assert _found(matching, _wanted("echo", "7007")) == running
    assert matching.left() == []


def test_the_same_address_in_other_words_is_the_same() -> None:
    tcp, udp = running = _running("echo", "7007")
    matching = Matching(running)
    assert _found(matching, _wanted("echo", "tls://127.0.0.1:7007")) == [tcp]
    assert matching.left() == [udp]


def test_each_is_given_once() -> None:
    (tcp,) = _running("timestamp", "7007")
    matching = Matching([tcp])
    assert _found(matching, _wanted("chat", "7007")) == [tcp]
    assert _found(matching, _wanted("timestamp", "7007")) == [None]


def test_any_port_is_the_one_that_the_same_wish_had_got() -> None:
    running = [*_running("echo", "0", 40_001), *_running("timestamp", "0", 40_002)]
    matching = Matching(running)
    assert _found(matching, _wanted("timestamp", "0")) == running[2:]
    assert _found(matching, _wanted("echo", "0")) == running[:2]
    assert _found(matching, _wanted("echo", "0")) == [None, None]


def test_the_port_that_a_wish_had_got_can_be_asked_for_by_its_number() -> None:
    running = _running("echo", "0", 40_001)
    assert _found(Matching(running), _wanted("chat", "40001")) == running[:1]


def test_any_port_in_other_words_is_another_one() -> None:
    running = _running("echo", "0", 40_001)
    assert _found(Matching(running), _wanted("echo", "tcp://127.0.0.1:0")) == [None]


def test_an_endpoint_is_found_by_its_description() -> None:
    running = _running("echo", "tcp:7007")
    assert _found(Matching(running), _wanted("echo", "tcp:7007")) == running
    assert _found(Matching(running), _wanted("echo", "tcp:7007:backlog=5")) == [None]


def test_each_service_finds_its_own_of_endpoints_with_one_description() -> None:
    echo, chat = _running("echo", "tcp:0"), _running("chat", "tcp:0")
    matching = Matching([*echo, *chat])
    wanted = [_wanted(name, "tcp:0") for name in ("chat", "echo")]
    assert matching.each(wanted) == [chat, echo]
    assert matching.left() == []


def test_of_endpoints_with_one_description_none_is_found_twice() -> None:
    first, second = running = [*_running("echo", "tcp:0"), *_running("echo", "tcp:0")]
    matching = Matching(running)
    found = matching.each([_wanted("echo", "tcp:0")] * 3)
    assert [one for (one,) in found] == [first, second, None]


def test_another_service_that_asks_first_gets_only_the_endpoint_that_its_own_leaves() -> None:
    (echo,), (chat,) = _running("echo", "tcp:0"), _running("chat", "tcp:0")
    matching = Matching([echo, chat])
    wanted = [_wanted(name, "tcp:0") for name in ("greeting", "echo")]
    assert matching.each(wanted) == [[chat], [echo]]


def test_a_path_is_an_address() -> None:
    running = _running("echo", "unix:///run/a")
    assert _found(Matching(running), _wanted("chat", "unix:///run/a?mode=666")) == running
    assert _found(Matching(running), _wanted("echo", "unix-datagram:///run/a")) == [None]


def _makeup(where: str, table: dict[str, Any] | None = None, **tables: Any) -> Any:
    service, (binding,) = _service("receiver", where, **(table or {}))
    return makeup_of(service, binding, _configuration(receiver={"listen": where}, **tables), b"")


def test_a_listener_has_changed_when_what_it_is_made_from_has() -> None:
    same = _makeup("udp://127.0.0.1:1")
    assert _makeup("udp://127.0.0.1:1") == same
    # Neither how it was asked for, nor what is somebody else's.
    assert _makeup("udp://127.0.0.1:1", {}, echo={"disconnect": "x"}, net={"shutdown_grace": 3}) == same
    for other in (
        _makeup("udp://127.0.0.1:1", {"ack": "received"}),
        _makeup("udp://127.0.0.1:1?ack=received"),
        _makeup("udp://127.0.0.1:1", {"reply_factor": 2}),
        _makeup("udp://127.0.0.1:1", {}, timeline={"capture": 1}),
    ):
        assert other != same
