"""
Certificates of every wrong kind: a client that shows one gets an alert and never reaches the service, and a
daemon that is given one says so at start.

Revocation is not looked at: netsvc fetches no lists and asks no responder.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from tests.certificates import Certificates
from tests.issuing import DAY, FOR_CLIENTS, FOR_SERVERS, Issuer, Key, name_of, new_key, write
from tests.live.daemon import PATIENCE, refused, running
from tests.live.timeline import WatchedDaemon, watched
from tests.net.tls_client import VERSIONS, Client, client_context

pytestmark = pytest.mark.live

#: Certificates in a chain: more than a client needs; more than OpenSSL follows; more than it takes in.
_LONG, _TOO_LONG, _ENDLESS = 20, 150, 400

_NAME = name_of("the client")


class Shown(NamedTuple):
    """
    What a client shows.

    @ivar chain: its certificate first.
    @ivar key: of the first.
    @ivar reason: why it is refused, in the fact's words; empty where it is served.
    """

    chain: list[x509.Certificate]
    key: Key
    reason: str = ""


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    """The authority whose clients are let in."""
    return Issuer("authority of clients")


@pytest.fixture(scope="module")
def daemon(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, issuer: Issuer
) -> Iterator[WatchedDaemon]:
    directory = tmp_path_factory.mktemp("demanding")
    ca = write(directory / "ca.pem", issuer.certificate)
    where = f"tls://127.0.0.1:0?certificate={certificates.server_both}&client-ca={ca}&refusal-log-rate=1e9"
    with watched(directory, f"--echo={where}") as started:
        yield started


@pytest.fixture(params=VERSIONS)
def tls_version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# -- of clients ------------------------------------------------------------------------------------------


def _right(issuer: Issuer) -> Shown:
    key = new_key()
    return Shown([issuer.issue(key, _NAME)], key)


def _for_anything(issuer: Issuer) -> Shown:
    key = new_key()
    return Shown([issuer.issue(key, _NAME, usages=())], key)


def _in_a_chain(issuer: Issuer) -> Shown:
    return _chain(issuer, _LONG)


def _expired(issuer: Issuer) -> Shown:
    key = new_key()
    return Shown([issuer.issue(key, _NAME, ends=-DAY)], key, "certificate has expired")


def _not_yet_valid(issuer: Issuer) -> Shown:
    key = new_key()
    return Shown([issuer.issue(key, _NAME, begins=DAY)], key, "certificate is not yet valid")


def _of_another_authority(issuer: Issuer) -> Shown:
    key = new_key()
    return Shown([Issuer("other").issue(key, _NAME)], key, "unable to get local issuer certificate")


def _of_an_authority_of_that_name(issuer: Issuer) -> Shown:
    key = new_key()
    return Shown([Issuer("authority of clients").issue(key, _NAME)], key, "certificate signature failure")


def _self_signed(issuer: Issuer) -> Shown:
    key = new_key()
    own = Issuer("client", key=key)
    return Shown([own.certificate], key, "self-signed certificate")


def _with_its_authority(issuer: Issuer) -> Shown:
    key, other = new_key(), Issuer("other")
    return Shown([other.issue(key, _NAME), other.certificate], key, "self-signed certificate in certif")


def _without_the_authority_between(issuer: Issuer) -> Shown:
    key = new_key()
    between = Issuer("between", above=issuer)
    return Shown([between.issue(key, _NAME)], key, "unable to get local issuer certificate")


def _of_a_client_that_plays_authority(issuer: Issuer) -> Shown:
    key, player = new_key(), Issuer("player", key=new_key())
    # The same key and name, but what it has from the authority makes it no authority.
    certificate = issuer.issue(player.key, name_of("player"))
    return Shown([player.issue(key, _NAME), certificate], key, "invalid CA certificate")


def _for_servers(issuer: Issuer) -> Shown:
    key = new_key()
    return Shown([issuer.issue(key, _NAME, usages=(FOR_SERVERS,))], key, "unsuitable certificate purpose")


def _for_signing_code(issuer: Issuer) -> Shown:
    key, usages = new_key(), (x509.oid.ExtendedKeyUsageOID.CODE_SIGNING,)
    return Shown([issuer.issue(key, _NAME, usages=usages)], key, "unsuitable certificate purpose")


def _weak(issuer: Issuer) -> Shown:
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    return Shown([issuer.issue(key, _NAME)], key, "EE certificate key too weak")


def _in_a_chain_too_long(issuer: Issuer) -> Shown:
    return _chain(issuer, _TOO_LONG)._replace(reason="certificate chain too long")


def _in_an_endless_chain(issuer: Issuer) -> Shown:
    return _chain(issuer, _ENDLESS)._replace(reason="excessive message size")


def _chain(issuer: Issuer, length: int) -> Shown:
    between, chain = issuer, []
    for number in range(length):
        between = Issuer(f"between {number}", above=between)
        chain.append(between.certificate)
    key = new_key()
    return Shown([between.issue(key, _NAME), *reversed(chain)], key)


@pytest.mark.parametrize("show", [_right, _for_anything, _in_a_chain])
def test_a_client_with_a_right_one_is_served(
    daemon: WatchedDaemon,
    issuer: Issuer,
    certificates: Certificates,
    tls_version: str,
    show: Callable[[Issuer], Shown],
    tmp_path: Path,
) -> None:
    after = daemon.last_fact()
    with _Talk(daemon, certificates, tls_version, show(issuer), tmp_path) as talk:
        assert talk.ask(b"hello") == b"hello"
    (opened,) = daemon.facts(1, after, service="echo", kind="opened")
    assert "CN=the client" in str(opened)


@pytest.mark.parametrize(
    "show",
    [
        _expired,
        _not_yet_valid,
        _of_another_authority,
        _of_an_authority_of_that_name,
        _self_signed,
        _with_its_authority,
        _without_the_authority_between,
        _of_a_client_that_plays_authority,
        _for_servers,
        _for_signing_code,
        _weak,
        _in_a_chain_too_long,
        _in_an_endless_chain,
    ],
)
def test_a_client_with_a_wrong_one_gets_an_alert_and_nothing_else(
    daemon: WatchedDaemon,
    issuer: Issuer,
    certificates: Certificates,
    tls_version: str,
    show: Callable[[Issuer], Shown],
    tmp_path: Path,
) -> None:
    shown = show(issuer)
    after = daemon.last_fact()
    with _Talk(daemon, certificates, tls_version, shown, tmp_path, weakly=True) as talk:
        assert "alert" in talk.be_refused()
    _was_refused(daemon, after, shown.reason)


def _was_refused(daemon: WatchedDaemon, after: int, reason: str) -> None:
    """There is a fact that says why, one line of the log, and nothing that the service would have noted."""
    (fact,) = daemon.facts(1, after, service="echo")
    assert (fact["kind"], fact["reason"]) == ("refused", "tls")
    assert reason in fact["error"]
    line = daemon.wait_for_line(rf"refused \('127\.0\.0\.1', {fact['port']}\): tls \(")
    assert reason in line
    assert "Traceback" not in daemon.log()


def _cut_short(der: bytes) -> bytes:
    # Its length says that there is more.
    return der[:1] + b"\x84\x7f\xff\xff\xff" + der[6:]


def _of_nonsense(der: bytes) -> bytes:
    return b"\xff" * len(der)


def _empty(der: bytes) -> bytes:
    return bytes(len(der))


def _nested(der: bytes) -> bytes:
    return (b"\x30\x80" * len(der))[: len(der)]


def _with_another_subject(der: bytes) -> bytes:
    # It parses, and its signature is wrong.
    return der.replace(b"the client", b"the \r\n\x1b[2J")


@pytest.mark.parametrize("spoil", [_cut_short, _of_nonsense, _empty, _nested, _with_another_subject])
def test_a_client_whose_certificate_is_broken_gets_an_alert_and_nothing_else(
    daemon: WatchedDaemon,
    issuer: Issuer,
    certificates: Certificates,
    tmp_path: Path,
    spoil: Callable[[bytes], bytes],
) -> None:
    key = new_key()
    certificate = issuer.issue(key, _NAME)
    after = daemon.last_fact()
    # In TLS 1.2 it travels in the clear, where it can be spoilt on its way.
    with _Talk(daemon, certificates, "TLSv1.2", Shown([certificate], key), tmp_path) as talk:
        der = certificate.public_bytes(Encoding.DER)
        talk.on_its_way = lambda sent: sent.replace(der, spoil(der))
        assert "alert" in talk.be_refused()
    _was_refused(daemon, after, "")


def test_a_client_without_the_key_of_its_certificate_gets_an_alert_and_nothing_else(
    daemon: WatchedDaemon, issuer: Issuer, certificates: Certificates, tmp_path: Path
) -> None:
    after = daemon.last_fact()
    with _Talk(daemon, certificates, "TLSv1.2", _right(issuer), tmp_path) as talk:
        talk.on_its_way = _with_another_signature
        assert "alert" in talk.be_refused()
    _was_refused(daemon, after, "signature")


def _with_another_signature(flight: bytes) -> bytes:
    """Spoil the CertificateVerify in a flight, if it is there (RFC 5246 sections 6.2.1 and 7.4.8)."""
    at, spoilt = 0, bytearray(flight)
    while at < len(flight):
        end = at + 5 + int.from_bytes(flight[at + 3 : at + 5], "big")
        if flight[at] == 22 and flight[at + 5] == 15:
            spoilt[end - 1] ^= 1
        at = end
    return bytes(spoilt)


def test_after_all_of_that_a_right_one_is_still_served(
    daemon: WatchedDaemon, issuer: Issuer, certificates: Certificates, tmp_path: Path
) -> None:
    with _Talk(daemon, certificates, "TLSv1.3", _right(issuer), tmp_path) as talk:
        assert talk.ask(b"hello") == b"hello"
    assert "Traceback" not in daemon.log()


class _Talk:
    """
    A client of TLS over a socket.

    @ivar on_its_way: what becomes of what it sends.
    """

    def __init__(
        self,
        daemon: WatchedDaemon,
        certificates: Certificates,
        version: str,
        shown: Shown,
        directory: Path,
        weakly: bool = False,
    ) -> None:
        self.on_its_way: Callable[[bytes], bytes] = bytes
        context = client_context(certificates.ca, version)
        if weakly:
            # Or it would not even send what is too weak.
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.load_cert_chain(write(directory / "shown.pem", *shown.chain, shown.key))
        self._sock = socket.create_connection(("127.0.0.1", daemon.port("echo", "tls")), PATIENCE)
        self._client = Client(context)

    def __enter__(self) -> _Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def ask(self, question: bytes) -> bytes:
        """Shake hands, send, and read an answer of the same length."""
        while not self._client.shake():
            self._carry()
        answer = b""
        sent = self._client.sent() + self._client.seal(question)
        self._sock.sendall(sent)
        while len(answer) < len(question):
            self._feed()
            answer += self._client.read()
        return answer

    def be_refused(self) -> str:
        """Go on until there is an alert; the error that it becomes."""
        with pytest.raises(ssl.SSLError) as caught:
            self._go_on_for_ever()
        return str(caught.value).lower()

    def _go_on_for_ever(self) -> None:
        while True:
            if self._client.shake():
                # In TLS 1.3 the client believes that it is in, until it hears more.
                self._send()
                self._feed()
                assert self._client.read() == b""
            else:
                self._carry()

    def _carry(self) -> None:
        self._send()
        self._feed()

    def _send(self) -> None:
        try:
            self._sock.sendall(self.on_its_way(self._client.sent()))
        except ConnectionError:
            # Refused before it had all been sent; what was said about it can still be read.
            return

    def _feed(self) -> None:
        data = self._sock.recv(65_536)
        assert data, "closed without an alert"
        self._client.feed(data)


# -- of the daemon ---------------------------------------------------------------------------------------


def _starts_with(directory: Path, certificate: Path, *more: str) -> list[str]:
    return [f"--echo=tls://127.0.0.1:0?{'&'.join([f'certificate={certificate}', *more])}"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("missing", "No such file or directory"),
        ("directory", "it is no regular file"),
        ("nonsense", "there is none in it"),
        ("broken", "OpenSSL says"),
        ("der", "there is none in it"),
        ("without_key", "it holds no private key and no key is given"),
        ("of_another_key", "the private key does not match the certificate"),
        ("encrypted", "the private key is encrypted"),
        ("weak", "OpenSSL says ee key too small"),
    ],
)
def test_a_daemon_does_not_start_with_what_it_cannot_serve(
    tmp_path: Path, certificates: Certificates, name: str, reason: str
) -> None:
    key, certificate = new_key(), certificates.server_certificate.read_bytes()
    path, more = tmp_path / f"{name}.pem", []
    if name == "directory":
        path.mkdir()
    elif name == "nonsense":
        path.write_bytes(bytes(range(256)))
    elif name == "broken":
        path.write_bytes(certificates.server_both.read_bytes().replace(b"MII", b"AAA", 1))
    elif name == "der":
        path.write_bytes(x509.load_pem_x509_certificate(certificate).public_bytes(Encoding.DER))
    elif name == "weak":
        weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
        write(path, Issuer("server").issue(weak, name_of("server"), (FOR_SERVERS,)), weak)
    elif name != "missing":
        path.write_bytes(certificate)
        more = {
            "of_another_key": [f"key={write(tmp_path / 'key.pem', key)}"],
            "encrypted": [f"key={certificates.encrypted_key}"],
        }.get(name, [])
    status, out, err = refused(tmp_path, *_starts_with(tmp_path, path, *more))
    assert (status, out, err.count("\n")) == (1, "", 1)
    assert err.startswith("netsvc: --echo tls://127.0.0.1:0")
    assert reason in err
    assert "; expected " in err


def test_what_clients_will_not_believe_is_served_and_warned_of(tmp_path: Path) -> None:
    issuer, key = Issuer("authority"), new_key()
    made = {
        "expired": issuer.issue(key, name_of("localhost"), (FOR_SERVERS,), ends=-DAY),
        "early": issuer.issue(key, name_of("localhost"), (FOR_SERVERS,), begins=DAY),
        "purpose": issuer.issue(key, name_of("localhost"), (FOR_CLIENTS,)),
        "right": issuer.issue(key, name_of("localhost"), (FOR_SERVERS,)),
        "open": issuer.issue(key, name_of("localhost"), ()),
    }
    options = []
    for name, certificate in made.items():
        options += _starts_with(tmp_path, write(tmp_path / f"{name}.pem", certificate, key))
    with running(tmp_path, *options) as daemon:
        warnings = [line for line in daemon.lines if "#warn] certificate" in line]
        for name, what in (("expired", "not now"), ("early", "not now"), ("purpose", "not for servers")):
            assert any(f"{name}.pem" in line and what in line for line in warnings)
        assert len(warnings) == 3
        lenient = ssl.create_default_context()
        lenient.check_hostname = False
        lenient.verify_mode = ssl.CERT_NONE
        for place in daemon.places:
            sock = socket.create_connection(("127.0.0.1", place["port"]), PATIENCE)
            with lenient.wrap_socket(sock) as client:
                client.sendall(b"hello")
                assert client.recv(5) == b"hello"
