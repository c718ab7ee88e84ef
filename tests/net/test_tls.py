"""TLS sessions against Python's and pyOpenSSL's clients, all in memory."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from netsvc.interfaces import TLSArrival
from netsvc.net.tls import TLSFailure, TLSSession
from tests.certificates import CLIENT_SUBJECT, Certificates
from tests.net.tls_client import Client, client_context, connect, shake_hands, singly, step, whole

on_linux = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")


@pytest.mark.parametrize("cut", [whole, singly])
def test_both_sides_hear_each_other(
    serving: ssl.SSLContext,
    certificates: Certificates,
    tls_version: str,
    cut: Callable[[bytes], Iterable[bytes]],
) -> None:
    client, session = Client(client_context(certificates.ca, tls_version)), TLSSession(serving)
    assert not session.handshaken
    shake_hands(client, session, cut)
    heard = [piece for part in cut(client.seal(b"ping")) for piece in session.receive(part)]
    assert heard == [b"ping"]
    session.send(b"pong")
    session.send(b"")
    session.send(b" and more")
    for part in cut(session.outgoing()):
        client.feed(part)
    assert client.read() == b"pong and more"
    assert session.outgoing() == b""
    assert not session.ended


def test_data_behind_the_end_of_the_handshake_is_received(
    serving: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    client, session = Client(trusting), TLSSession(serving)
    client.shake()
    session.receive(client.sent())
    client.feed(session.outgoing())
    assert client.shake()
    assert session.receive(client.seal(b"first", b"second") + client.end()) == [b"first", b"second"]
    assert session.handshaken
    assert session.ended


def test_two_records_are_received_at_every_split(serving: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    client, session = connect(serving, trusting)
    size = len(client.seal(b"one", b"two"))
    client, session = connect(serving, trusting)
    for at in range(size + 1):
        records = client.seal(b"one", b"two")
        assert session.receive(records[:at]) + session.receive(records[at:]) == [b"one", b"two"]


@pytest.mark.parametrize("size", [1, 16_384, 16_385, 70_000])
def test_any_size_arrives_both_ways(serving: ssl.SSLContext, trusting: ssl.SSLContext, size: int) -> None:
    client, session = connect(serving, trusting)
    data = os.urandom(size)
    assert b"".join(session.receive(client.seal(data))) == data
    session.send(data)
    client.feed(session.outgoing())
    assert client.read() == data


def test_a_mebibyte_in_one_piece_arrives_in_order(serving: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    client, session = connect(serving, trusting)
    data = os.urandom(1024 * 1024)
    session.send(b"before")
    session.send(data)
    session.send(b"after")
    client.feed(session.outgoing())
    assert client.read() == b"before" + data + b"after"
    assert b"".join(session.receive(client.seal(data))) == data


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@on_linux
def test_large_messages_leave_no_memory_behind(serving: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    data = bytes(1024 * 1024)
    sessions = []
    before = resident()
    for _ in range(60):
        client, session = connect(serving, trusting)
        session.receive(client.seal(data))
        session.send(data)
        session.outgoing()
        sessions.append(session)
    assert (resident() - before) / len(sessions) < 400_000


def test_answer_follows_the_clients_close_notify(
    serving: ssl.SSLContext, certificates: Certificates, tls_version: str
) -> None:
    client, session = connect(serving, client_context(certificates.ca, tls_version))
    assert session.receive(client.seal(b"question") + client.end()) == [b"question"]
    assert session.ended
    session.send(b"answer" * 10_000)
    client.feed(session.outgoing())
    assert client.read() == b"answer" * 10_000
    assert not client.ended
    session.close()
    client.feed(session.outgoing())
    assert client.read() == b""
    assert client.ended


def test_what_follows_close_notify_is_thrown_away(serving: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    client, session = connect(serving, trusting)
    assert session.receive(client.seal(b"last") + client.end() + b"garbage" * 10_000) == [b"last"]
    assert session.ended
    assert session.receive(b"garbage") == []
    session.close()
    assert session.outgoing() != b""


@on_linux
@pytest.mark.parametrize("how", ["ended", "failed", "failed after our close"])
def test_what_is_thrown_away_takes_no_memory(
    serving: ssl.SSLContext, trusting: ssl.SSLContext, how: str
) -> None:
    client, session = connect(serving, trusting)
    if how == "ended":
        session.receive(client.end())
    else:
        if how == "failed after our close":
            session.close()
        with pytest.raises(TLSFailure):
            session.receive(b"no record of TLS")
    garbage = bytes(1024 * 1024)
    before = resident()
    for _ in range(100):
        assert session.receive(garbage) == []
    assert resident() - before < 20_000_000


def test_answer_leaves_though_the_client_never_said_close_notify(
    serving: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    client, session = connect(serving, trusting)
    session.receive(client.seal(b"question")[:-1])
    session.send(b"answer")
    session.close()
    client.feed(session.outgoing())
    assert client.read() == b"answer"
    assert client.ended
    assert not session.ended


def test_close_is_said_once_and_ends_our_direction_only(
    serving: ssl.SSLContext, certificates: Certificates, tls_version: str
) -> None:
    client, session = connect(serving, client_context(certificates.ca, tls_version))
    session.send(b"answer")
    session.close()
    client.feed(session.outgoing())
    session.close()
    session.send(b"late")
    assert session.outgoing() == b""
    assert session.receive(client.seal(b"still sending")) == [b"still sending"]
    assert session.outgoing() == b""
    assert client.read() == b"answer"
    assert client.ended
    assert not session.ended
    client.tls.unwrap()
    assert session.receive(client.sent()) == []
    assert session.ended


def test_nothing_is_sent_before_the_handshake(serving: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    session = TLSSession(serving)
    with pytest.raises(RuntimeError):
        session.send(b"early")
    session.close()
    assert session.outgoing() == b""
    client = Client(trusting)
    client.shake()
    assert session.receive(client.sent()) == []
    assert session.outgoing() == b""


@given(st.lists(st.one_of(st.binary(max_size=80), st.integers(0, 20_000).map(bytes)), max_size=6), st.data())
def test_any_messages_arrive_however_they_are_cut(
    serving: ssl.SSLContext, trusting: ssl.SSLContext, messages: list[bytes], data: st.DataObject
) -> None:
    client, session = connect(serving, trusting)
    stream = b"".join(client.seal(message) for message in messages if message) + client.end()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=5)))
    heard = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        heard += session.receive(stream[start:end])
    assert b"".join(heard) == b"".join(messages)
    assert session.ended


# -- how a client arrived ---------------------------------------------------------------------------------


def test_arrival_tells_version_cipher_and_name(
    serving: ssl.SSLContext, certificates: Certificates, tls_version: str
) -> None:
    client, session = connect(serving, client_context(certificates.ca, tls_version))
    cipher = client.tls.cipher()
    assert cipher is not None
    assert session.arrival() == TLSArrival(tls_version, cipher[0], "localhost", None)
    assert session.peer_certificate() is None


@pytest.mark.parametrize("cut", [whole, singly])
def test_client_without_server_name_is_served(
    serving: ssl.SSLContext, trusting: ssl.SSLContext, cut: Callable[[bytes], Iterable[bytes]]
) -> None:
    client, session = Client(trusting, "127.0.0.1"), TLSSession(serving)
    shake_hands(client, session, cut)
    assert session.arrival().server_name is None


def test_each_session_has_its_own_server_name(serving: ssl.SSLContext, certificates: Certificates) -> None:
    lenient = ssl.create_default_context(cafile=certificates.ca)
    lenient.check_hostname = False
    sessions = {name: TLSSession(serving) for name in ("one.example", "two.example")}
    for name, session in sessions.items():
        shake_hands(Client(lenient, name), session)
    for name, session in sessions.items():
        assert session.arrival().server_name == name


@pytest.mark.parametrize(
    ("name", "told"),
    [(b"ger\xc3\xa4t.example", "ger\\xc3\\xa4t.example"), (b"a\nb", "a\nb"), (b"x" * 255, "x" * 255)],
)
def test_server_name_of_any_bytes_is_served(serving: ssl.SSLContext, name: bytes, told: str) -> None:
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
    client.set_connect_state()
    client.set_tlsext_host_name(name)
    session = TLSSession(serving)
    while not session.handshaken:
        step(client.do_handshake)
        session.receive(client.bio_read(65536))
        client.bio_write(session.outgoing())
    assert session.arrival().server_name == told


def test_client_certificate_is_told(
    demanding: ssl.SSLContext, certificates: Certificates, tls_version: str
) -> None:
    with_certificate = client_context(certificates.ca, tls_version)
    with_certificate.load_cert_chain(certificates.client_certificate, certificates.client_key)
    _, session = connect(demanding, with_certificate)
    assert session.arrival().client_subject == CLIENT_SUBJECT
    certificate = session.peer_certificate()
    assert certificate is not None
    assert certificate.to_cryptography().subject.rfc4514_string() == CLIENT_SUBJECT


def test_resumed_session_is_told_as_the_first_was(
    demanding: ssl.SSLContext, certificates: Certificates, tls_version: str
) -> None:
    with_certificate = client_context(certificates.ca, tls_version)
    with_certificate.load_cert_chain(certificates.client_certificate, certificates.client_key)
    client, first = connect(demanding, with_certificate)
    first.send(b"the tickets of TLS 1.3 come with it")
    client.feed(first.outgoing())
    client.read()
    again, second = Client(with_certificate, session=client.tls.session), TLSSession(demanding)
    shake_hands(again, second)
    assert again.tls.session_reused
    assert second.arrival() == first.arrival()
