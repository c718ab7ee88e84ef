"""`netsvc.construct`: from dotted names to factories and protocols."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.internet.testing import StringTransport

from netsvc.construct import datagram_protocol, named, one_line, stream_factory
from netsvc.settings import SettingError

_HERE = __name__


class Shout(Protocol):
    def __init__(self, times: int = 1) -> None:
        self.times = times

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data.upper() * self.times)


class ShoutFactory(Factory):
    protocol = Shout

    def __init__(self, times: int) -> None:
        if times < 0:
            raise ValueError("times must not be\nnegative")
        self.times = times


class ShoutDatagram(DatagramProtocol):
    def __init__(self, times: int = 1) -> None:
        self.times = times


class Both(Factory, Protocol):
    """A factory that is its own protocol, as some old code has it."""


def no_factory() -> object:
    return object()


def fails() -> object:
    raise FileNotFoundError(2, "No such file or directory", "users.txt")


not_callable = 7


def test_a_dotted_name_is_imported() -> None:
    assert named("shout", f"{_HERE}.ShoutFactory") is ShoutFactory
    assert named("ftp", "twisted.protocols.ftp.FTPFactory").__name__ == "FTPFactory"


@pytest.mark.parametrize(
    "name", ["", "nowhere", "nowhere.at.All", f"{_HERE}.Missing", "..", "json.", "not a name"]
)
def test_what_cannot_be_imported_is_one_line_with_the_service_and_the_name(name: str) -> None:
    with pytest.raises(SettingError) as caught:
        named("shout", name)
    text = str(caught.value)
    assert text.startswith("service shout: cannot import ")
    assert name in text
    assert "\n" not in text


def test_a_module_that_raises_is_told_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netsvc_broken_module.py").write_text("raise KeyError('a reason\\nin two lines')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(SettingError, match=r"service shout: cannot import .*a reason") as caught:
        named("shout", "netsvc_broken_module.Factory")
    assert "\n" not in str(caught.value)


def test_what_cannot_be_called_is_no_factory() -> None:
    with pytest.raises(SettingError, match="not_callable is no factory"):
        named("shout", f"{_HERE}.not_callable")


def test_a_factory_gets_its_arguments() -> None:
    made = stream_factory("shout", f"{_HERE}.ShoutFactory", {"times": 3})
    assert isinstance(made, ShoutFactory)
    assert made.times == 3


def test_each_call_makes_a_factory_of_its_own() -> None:
    one, other = (stream_factory("shout", f"{_HERE}.ShoutFactory", {"times": 1}) for _ in range(2))
    assert one is not other


def test_a_protocol_class_is_wrapped_and_gets_its_arguments_with_each_connection() -> None:
    factory = stream_factory("shout", f"{_HERE}.Shout", {"times": 2})
    assert IProtocolFactory.providedBy(factory)
    built: Any = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 4000))
    assert type(built) is Shout
    transport = StringTransport()
    built.makeConnection(transport)  # type: ignore[no-untyped-call]
    built.dataReceived(b"hello")
    assert transport.value() == b"HELLOHELLO"
    assert built.factory is factory


def test_a_class_that_is_both_is_taken_as_the_factory_that_it_is() -> None:
    assert isinstance(stream_factory("both", f"{_HERE}.Both", {}), Both)


@pytest.mark.parametrize("name", ["Shout", "ShoutFactory"])
def test_an_argument_that_nobody_takes_is_told_at_once(name: str) -> None:
    with pytest.raises(SettingError, match=rf"service shout: {_HERE}\.{name}: .*colour"):
        stream_factory("shout", f"{_HERE}.{name}", {"times": 1, "colour": "red"})


@pytest.mark.parametrize("name", ["fails", "ShoutFactory"])
def test_whatever_a_factory_raises_is_one_line(name: str) -> None:
    arguments = {"times": -1} if name == "ShoutFactory" else {}
    with pytest.raises(SettingError, match="service shout: ") as caught:
        stream_factory("shout", f"{_HERE}.{name}", arguments)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("name", ["no_factory", "ShoutDatagram"])
def test_what_is_no_factory_is_told(name: str) -> None:
    with pytest.raises(SettingError, match="expected an IProtocolFactory"):
        stream_factory("shout", f"{_HERE}.{name}", {})


def test_a_datagram_protocol_gets_its_arguments() -> None:
    made = datagram_protocol("shout", f"{_HERE}.ShoutDatagram", {"times": 3})
    assert isinstance(made, ShoutDatagram)
    assert made.times == 3


@pytest.mark.parametrize("name", ["no_factory", "Shout"])
def test_what_is_no_datagram_protocol_is_told(name: str) -> None:
    with pytest.raises(SettingError, match="expected a DatagramProtocol"):
        datagram_protocol("shout", f"{_HERE}.{name}", {})


def test_a_datagram_protocol_that_does_not_take_its_arguments_is_told() -> None:
    with pytest.raises(SettingError, match=r"service shout: .*ShoutDatagram: .*colour"):
        datagram_protocol("shout", f"{_HERE}.ShoutDatagram", {"colour": "red"})


def test_one_line_of_an_error_is_one_line_and_never_empty() -> None:
    assert one_line(ValueError("a\n  b\r\nc")) == "a b c"
    assert one_line(ValueError()) == "ValueError"
