"""An ADDRESS, and what is said of what is none."""

from __future__ import annotations

import pytest

from netsvc.commands.address import Address, parse_address, path_of
from netsvc.commands.complaints import NotDone


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1",
        "8009",
        "tcp:127.0.0.1:80",
        "http://a/",
        "tls://",
        "systemd://echo",
        "tcp://host:1?mode=1",
        "udp://:6667",
        "::1:80",
        "host:65536",
        "host:0",
        "udp://127.0.0.1:0",
        "",
    ],
)
def test_what_is_no_address_is_told_what_one_is(text: str) -> None:
    with pytest.raises(ValueError, match="is no address here; expected ") as caught:
        parse_address(text, ("tcp", "udp", "unix"))
    said = str(caught.value)
    assert said.startswith(repr(text))
    assert said.endswith(
        "expected HOST:PORT, tcp://HOST:PORT, udp://HOST:PORT, unix:///PATH; HOST may be [IPv6], and PORT is "
        "1 to 65535"
    )


def test_where_the_system_may_choose_a_port_it_may_be_0() -> None:
    assert parse_address("host:0", lowest_port=0) == Address("tcp", "host", 0)


@pytest.mark.parametrize("scheme", ["unix", "unix-datagram"])
def test_a_path_is_as_long_as_a_sockets_can_be(scheme: str) -> None:
    path = "/" + "é" * 53
    assert path_of(parse_address(f"{scheme}://{path}")) == path
    with pytest.raises(NotDone, match=f"{scheme}:///.*: a path of a socket has at most 107 bytes"):
        path_of(parse_address(f"{scheme}://{path}x"))
