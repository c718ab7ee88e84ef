"""The curves that a handshake may agree on, and how the one is chosen that costs no round trip more."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from netsvc.net.clienthello import lacks_its_end, offered_groups
from netsvc.net.groups import ServerContext, context_for, for_each_group
from netsvc.net.tls import TLSSession, server_context
from netsvc.settings import TLS
from tests.certificates import Certificates
from tests.issuing import Issuer, name_of, write
from tests.net.test_clienthello import HELLO, in_records
from tests.net.tls_client import Client, client_context, fail, shake_hands, singly

#: What a HelloRetryRequest has where a ServerHello has its random (RFC 8446 section 4.1.3).
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")

X25519, P_256, P_384 = 29, 23, 24


def record_of(client: Client) -> bytes:
    client.shake()
    return client.sent()


@pytest.mark.parametrize("curve", ["X25519", "prime256v1", "secp384r1"])
def test_a_client_that_knows_one_of_them_is_served_without_a_retry(
    serving: ssl.SSLContext, certificates: Certificates, curve: str
) -> None:
    # In TLS 1.2 it could not verify a certificate with another curve.
    context = client_context(certificates.ca)
    context.set_ecdh_curve(curve)
    client, session = Client(context), TLSSession(serving)
    session.receive(record_of(client))
    answer = session.outgoing()
    assert _RETRY not in answer
    client.feed(answer)
    shake_hands(client, session)


def test_a_python_that_does_not_find_a_curve_serves_its_clients_with_another() -> None:
    class Old(ssl.SSLContext):
        def set_ecdh_curve(self, name: str) -> None:
            if name == "X25519":
                raise ssl.SSLError("unknown group")
            super().set_ecdh_curve(name)

    def make(kind: type[ssl.SSLContext]) -> ssl.SSLContext:
        return (Old if kind is ssl.SSLContext else kind)(ssl.PROTOCOL_TLS_SERVER)

    assert list(for_each_group(make).others) == [P_384]


@pytest.mark.parametrize("curve", ["X448", "secp521r1"])
def test_others_are_refused(
    serving: ssl.SSLContext, certificates: Certificates, tls_version: str, curve: str
) -> None:
    context = client_context(certificates.ca, tls_version)
    context.set_ecdh_curve(curve)
    assert fail(serving, Client(context)) in ("no suitable key share", "no shared cipher")


def test_a_client_as_it_comes_is_served_without_a_retry(
    serving: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    client, session = Client(trusting), TLSSession(serving)
    session.receive(record_of(client))
    assert _RETRY not in session.outgoing()


@pytest.mark.parametrize("size", [1, 50])
def test_a_hello_that_comes_in_many_records_is_served_with_the_curve_that_all_know(
    serving: ssl.SSLContext, trusting: ssl.SSLContext, size: int
) -> None:
    client, session = Client(trusting), TLSSession(serving)
    for piece in singly(in_records(record_of(client), size)):
        session.receive(piece)
    answer = session.outgoing()
    assert _RETRY in answer
    client.feed(answer)
    shake_hands(client, session, singly)


def test_the_group_of_a_share_comes_before_those_that_are_only_listed(serving: ssl.SSLContext) -> None:
    assert isinstance(serving, ServerContext)
    listed = list(offered_groups(HELLO))
    assert listed[0] == X25519
    assert {X25519, P_256, P_384} < set(listed)
    assert context_for(serving, HELLO) is serving.others[X25519]
    assert context_for(serving, b"GET / HTTP/1.1\r\n") is serving


def test_a_record_is_waited_for_and_what_is_none_is_not() -> None:
    for at in range(len(HELLO)):
        assert lacks_its_end(HELLO[:at])
    for whole in (HELLO, HELLO + b"more", b"G", b"\x16\x03\x01\x40\x01", b"\x16\x03\x01\xff\xff\x01"):
        assert not lacks_its_end(whole)


def test_any_beginning_of_a_hello_has_groups_or_none() -> None:
    for at in range(len(HELLO)):
        assert list(offered_groups(HELLO[:at])) == []
        # The same, with lengths that do not fit what follows.
        assert len(list(offered_groups(HELLO[:at] + b"\xff" + HELLO[at + 1 :]))) < len(HELLO)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda one: one.name)
def test_a_clients_certificate_may_be_of_any_curve(
    certificates: Certificates, tls_version: str, tmp_path: Path, curve: ec.EllipticCurve
) -> None:
    issuer, key = Issuer("authority of clients"), ec.generate_private_key(curve)
    ca = write(tmp_path / "ca.pem", issuer.certificate)
    demanding = server_context(TLS(str(certificates.server_both), client_ca=str(ca)))
    context = client_context(certificates.ca, tls_version)
    context.load_cert_chain(write(tmp_path / "client.pem", issuer.issue(key, name_of("client")), key))
    session = TLSSession(demanding)
    shake_hands(Client(context), session)
    assert session.arrival().client_subject == "CN=client"
