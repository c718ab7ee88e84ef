"""Clients that TLS sessions refuse, and the reasons that both sides hear."""

from __future__ import annotations

import ssl
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from netsvc.net.tls import TLSFailure, TLSSession
from tests.certificates import Certificates
from tests.net.tls_client import Client, client_context, connect, fail, step


def test_client_that_does_not_know_the_authority_says_so(
    serving: ssl.SSLContext, certificates: Certificates, tls_version: str
) -> None:
    stranger = Client(client_context(certificates.other_ca, tls_version))
    assert fail(serving, stranger) == "tlsv1 alert unknown ca"


def test_missing_client_certificate_is_refused(
    demanding: ssl.SSLContext, certificates: Certificates, tls_version: str
) -> None:
    client = Client(client_context(certificates.ca, tls_version))
    assert fail(demanding, client) == "peer did not return a certificate"
    with pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        client.tls.read(1) if client.shaken else client.tls.do_handshake()


def test_client_certificate_of_another_authority_is_refused(
    demanding: ssl.SSLContext, certificates: Certificates
) -> None:
    other = client_context(certificates.ca)
    other.load_cert_chain(certificates.other_client_certificate, certificates.other_client_key)
    client = Client(other)
    assert fail(demanding, client).startswith("certificate verify failed: ")
    with pytest.raises(ssl.SSLError, match=r"(?i)unknown.ca"):
        client.tls.read(1)


def test_old_tls_and_cbc_suites_are_refused(serving: ssl.SSLContext) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    old.set_ciphers("ECDHE+AES+SHA256:ECDHE+AES+SHA384:!AESGCM:!AESCCM")
    assert fail(serving, Client(old)) == "no shared cipher"


def test_tls_1_1_is_refused(serving: ssl.SSLContext) -> None:
    # What a client of TLS 1.1 says first, written out because those of today cannot be made to.
    hello = b"\x03\x02" + bytes(32) + b"\0" + b"\0\x04\xc0\x13\x00\x2f" + b"\x01\0"
    message = b"\x01" + len(hello).to_bytes(3, "big") + hello
    session = TLSSession(serving)
    with pytest.raises(TLSFailure, match="unsupported protocol"):
        session.receive(b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message)
    # A fatal alert, protocol_version (RFC 8446 section 6).
    assert session.outgoing()[-2:] == b"\x02\x46"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", "http request"),
        (b"hello, is this plain text?\r\n", "wrong version number"),
        (b"\x15\x03\x03\x00\x02\x01\x00", "unexpected message"),
    ],
)
def test_other_openings_are_refused_with_a_reason(serving: ssl.SSLContext, data: bytes, reason: str) -> None:
    session = TLSSession(serving)
    with pytest.raises(TLSFailure) as caught:
        session.receive(data)
    assert str(caught.value) == reason
    assert not session.handshaken


def test_reason_without_a_name_is_told_in_openssls_words() -> None:
    class Unnamed:
        """A context whose OpenSSL is newer than Python's list of reasons."""

        def wrap_bio(self, *ignored: object, **options: object) -> Unnamed:
            return self

        def do_handshake(self) -> None:
            raise ssl.SSLError(1, "[SSL] internal error (_ssl.c:1006)")

    session = TLSSession(cast(ssl.SSLContext, Unnamed()))
    with pytest.raises(TLSFailure, match=r"\Ainternal error\Z"):
        session.receive(b"x")


@pytest.mark.parametrize(
    ("alert", "reason"),
    [
        (b"\x02\x28", "alert handshake failure"),
        (b"\x02\x30", "alert unknown ca"),
        (b"\x01\x00", "closed during"),
    ],
)
def test_alert_in_the_handshake_is_named(
    serving: ssl.SSLContext, trusting: ssl.SSLContext, alert: bytes, reason: str
) -> None:
    client, session = Client(trusting), TLSSession(serving)
    client.shake()
    session.receive(client.sent())
    session.outgoing()
    with pytest.raises(TLSFailure, match=reason):
        session.receive(b"\x15\x03\x03\x00\x02" + alert)
    assert session.outgoing() == b""
    assert not session.ended


def test_spoilt_record_is_a_failure_behind_the_sound_one(
    serving: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    client, session = connect(serving, trusting)
    sound, spoilt = client.seal(b"sound"), client.seal(b"spoilt")
    with pytest.raises(TLSFailure) as caught:
        session.receive(sound + spoilt[:-1] + bytes([spoilt[-1] ^ 1]))
    assert str(caught.value) == "decryption failed or bad record mac"
    assert caught.value.received == [b"sound"]
    client.feed(session.outgoing())
    with pytest.raises(ssl.SSLError, match=r"(?i)bad.record.mac"):
        client.read()


def test_renegotiation_is_refused(serving: ssl.SSLContext) -> None:
    old = SSL.Context(SSL.TLS_CLIENT_METHOD)
    old.set_max_proto_version(SSL.TLS1_2_VERSION)
    client = SSL.Connection(old, None)
    client.set_connect_state()
    session = TLSSession(serving)
    for _ in range(2):
        step(client.do_handshake)
        session.receive(client.bio_read(65536))
        client.bio_write(session.outgoing())
    assert session.handshaken
    step(client.do_handshake)
    assert client.renegotiate()
    step(client.do_handshake)
    assert session.receive(client.bio_read(65536)) == []
    # What it is answered with is a warning, no_renegotiation (RFC 5246 section 7.2.2), and no ServerHello.
    answer = session.outgoing()
    assert answer[:1] == b"\x15"
    assert len(answer) < 64


@given(
    st.binary(min_size=1, max_size=600),
    st.sampled_from([b"", b"\x16\x03\x01", b"\x16\x03\x01\0\x20\x01\0\0\x1c\x03\x03"]),
)
def test_any_opening_bytes_are_data_or_a_failure(serving: ssl.SSLContext, data: bytes, before: bytes) -> None:
    session = TLSSession(serving)
    assert heard_of(session, before + data) == []
    assert not session.handshaken


@given(st.integers(0, 10_000), st.integers(1, 255), st.data())
def test_any_spoilt_byte_of_a_client_is_data_or_a_failure(
    serving: ssl.SSLContext, trusting: ssl.SSLContext, at: int, flip: int, data: st.DataObject
) -> None:
    client, session = Client(trusting), TLSSession(serving)
    client.shake()
    spoilt = client.sent()
    if data.draw(st.booleans()):
        session.receive(spoilt)
        client.feed(session.outgoing())
        assert client.shake()
        spoilt = client.seal(b"message") + client.end()
    at %= len(spoilt)
    heard = heard_of(session, spoilt[:at] + bytes([spoilt[at] ^ flip]) + spoilt[at + 1 :])
    assert heard in ([], [b"message"])
    session.outgoing()


def test_an_error_that_another_session_left_does_not_hinder_closing(
    serving: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    (client, session), (other, failing) = connect(serving, trusting), connect(serving, trusting)
    spoilt = other.seal(b"message")
    heard_of(failing, spoilt[:-1] + bytes([spoilt[-1] ^ 1]))
    other.feed(failing.outgoing())
    # It finds an alert and says nothing of it, but OpenSSL has noted that for whoever asks next.
    other.tls.unwrap()
    session.send(b"answer")
    session.close()
    client.feed(session.outgoing())
    assert client.read() == b"answer"
    assert client.ended


def heard_of(session: TLSSession, ciphertext: bytes) -> list[bytes]:
    """The plaintext of bytes that may end in a failure."""
    try:
        return session.receive(ciphertext)
    except TLSFailure as failure:
        if not str(failure).isprintable():
            raise AssertionError(f"{failure!r} is not one line") from failure
        return failure.received
