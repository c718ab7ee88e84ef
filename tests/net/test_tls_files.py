"""The files and settings of TLS: what is served, and the one line that says what is wrong with them."""

from __future__ import annotations

import re
import ssl
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from twisted.logger import capturedLogs

from netsvc.net.tls import TLSFailure, TLSSession, content_of, server_context
from netsvc.settings import TLS, SettingError
from tests.certificates import Certificates

#: The group of RFC 7919 appendix A.1.
FFDHE2048 = b"""-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""


def refusal(tls: TLS) -> str:
    with pytest.raises(SettingError) as caught:
        server_context(tls)
    text = str(caught.value)
    assert text.isprintable()
    assert "; expected " in text
    return text


def test_key_is_found_in_the_certificates_file(certificates: Certificates) -> None:
    assert server_context(TLS(str(certificates.server_both))).verify_mode is ssl.CERT_NONE


def test_only_modern_tls_is_offered(certificates: Certificates) -> None:
    context = server_context(TLS(str(certificates.server_both)))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.maximum_version is ssl.TLSVersion.MAXIMUM_SUPPORTED
    for option in (ssl.OP_NO_COMPRESSION, ssl.OP_NO_RENEGOTIATION, ssl.OP_CIPHER_SERVER_PREFERENCE):
        assert context.options & option
    for suite in context.get_ciphers():
        assert re.search(r"Enc=(AESGCM|CHACHA20)", suite["description"]), suite["name"]
        assert re.search(r"Kx=(ECDH|DH|any) ", suite["description"]), suite["name"]


def test_ciphers_are_those_of_the_setting(certificates: Certificates) -> None:
    context = server_context(TLS(str(certificates.server_both), ciphers="ECDHE-ECDSA-AES128-SHA256"))
    names = [suite["name"] for suite in context.get_ciphers() if not suite["name"].startswith("TLS_")]
    assert names == ["ECDHE-ECDSA-AES128-SHA256"]


@pytest.mark.parametrize("ciphers", ["", "nonsense", "ä", "a\0b"])
def test_ciphers_that_select_nothing_are_refused(certificates: Certificates, ciphers: str) -> None:
    text = refusal(TLS(str(certificates.server_both), ciphers=ciphers))
    assert text.startswith(f"ciphers {ciphers!r}: ".replace("\0", "\\0"))


def test_client_ca_demands_certificates(certificates: Certificates) -> None:
    context = server_context(TLS(str(certificates.server_both), client_ca=str(certificates.ca)))
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_missing_setting_is_named() -> None:
    assert refusal(TLS()).startswith("certificate: none is given; expected a PEM file")


@pytest.mark.parametrize("key", ["certificate", "key", "client_ca"])
def test_each_file_that_cannot_be_used_is_named(certificates: Certificates, tmp_path: Path, key: str) -> None:
    junk, nul = tmp_path / "junk\n.pem", f"{tmp_path}/a\0b"
    junk.write_bytes(b"no certificate, no key")
    for path, reason in (
        (tmp_path / "missing.pem", "No such file or directory"),
        (tmp_path, "it is no regular file"),
        (junk, "there is none in it"),
        (Path(nul), "embedded null byte"),
    ):
        paths = {"certificate": str(certificates.server_both), key: str(path)}
        assert refusal(TLS(**paths)).startswith(f"{key} {str(path)!r}: {reason}; expected a PEM file with")


def test_file_that_may_not_be_read_is_named(
    certificates: Certificates, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = tmp_path / "closed.pem"
    closed.write_bytes(certificates.server_both.read_bytes())

    def refuse(path: str, mode: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    # Tests may run as root, for whom every file opens.
    monkeypatch.setattr("builtins.open", refuse)
    assert refusal(TLS(str(closed))).startswith(f"certificate {str(closed)!r}: Permission denied; expected")


def test_certificate_without_any_key_is_refused(certificates: Certificates) -> None:
    path = str(certificates.server_certificate)
    assert refusal(TLS(path)).startswith(
        f"certificate {path!r}: it holds no private key and no key is given; "
    )


def test_key_of_another_certificate_is_refused(certificates: Certificates) -> None:
    path, key = str(certificates.server_certificate), str(certificates.other_client_key)
    text = refusal(TLS(path, key))
    assert text.startswith(f"key {key!r}: the private key does not match the certificate {path!r}; expected")


def test_encrypted_key_is_refused_without_asking(certificates: Certificates) -> None:
    path, key = str(certificates.server_certificate), str(certificates.encrypted_key)
    assert refusal(TLS(path, key)).startswith(f"key {key!r}: the private key is encrypted; expected")


@pytest.mark.parametrize("key", ["certificate", "client_ca"])
def test_damaged_certificate_is_refused(certificates: Certificates, tmp_path: Path, key: str) -> None:
    damaged = tmp_path / "damaged.pem"
    damaged.write_bytes(certificates.server_both.read_bytes().replace(b"MII", b"AAA", 1))
    text = refusal(TLS(**{"certificate": str(certificates.server_both), key: str(damaged)}))
    assert text.startswith(f"{key} {str(damaged)!r}")
    assert "OpenSSL says" in text
    assert "_ssl.c" not in text


def test_certificate_outside_its_time_is_served_and_logged(certificates: Certificates) -> None:
    tls = TLS(str(certificates.expired_certificate), str(certificates.server_key))
    with capturedLogs() as logged:
        server_context(tls)
    assert [event["log_format"] for event in logged] == [
        "certificate {path} is valid from {begins} to {ends}, not now: clients will refuse it"
    ]
    assert logged[0]["path"] == repr(tls.certificate)


def test_certificate_within_its_time_is_not_remarked(certificates: Certificates) -> None:
    with capturedLogs() as logged:
        server_context(TLS(str(certificates.server_both)))
        assert not logged
        server_context(TLS(str(certificates.server_both)), now=lambda: 0.0)
    assert len(logged) == 1


def test_dhe_suites_work_with_parameters_in_the_certificates_file(tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(_rsa_certificate_and_key())
    assert "no shared cipher" in _shake_hands_with_dhe(both)
    both.write_bytes(both.read_bytes() + FFDHE2048)
    assert _shake_hands_with_dhe(both) == "DHE-RSA-AES128-GCM-SHA256"


def test_damaged_parameters_are_refused(certificates: Certificates, tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(certificates.server_both.read_bytes() + FFDHE2048.replace(b"MII", b"AAA"))
    assert refusal(TLS(str(both))).startswith(f"certificate {str(both)!r}")


def _shake_hands_with_dhe(both: Path) -> str:
    """The suite that a client without elliptic curves gets, or why it gets none."""
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.verify_mode = ssl.CERT_NONE
    client_context.maximum_version = ssl.TLSVersion.TLSv1_2
    client_context.set_ciphers("DHE-RSA-AES128-GCM-SHA256")
    bio_in, bio_out = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(bio_in, bio_out)
    session = TLSSession(server_context(TLS(str(both))))
    while not session.handshaken:
        with suppress(ssl.SSLWantReadError):
            client.do_handshake()
        try:
            session.receive(bio_out.read())
        except TLSFailure as failure:
            return str(failure)
        bio_in.write(session.outgoing())
    return session.arrival().cipher


def _rsa_certificate_and_key() -> bytes:
    """With elliptic curves there is no DHE suite."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    begins = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, begins, begins + timedelta(days=9))
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )
    return certificate + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_what_is_in_the_files_changes_when_one_is_renewed(certificates: Certificates, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("server.pem", "server.key", "ca.pem")]
    sources = (certificates.server_certificate, certificates.server_key, certificates.ca)
    for path, source in zip(paths, sources, strict=True):
        path.write_bytes(source.read_bytes())
    tls = TLS(*map(str, paths))
    first = content_of(tls)
    assert content_of(tls) == first
    seen = {first}
    for path in paths:
        path.write_bytes(path.read_bytes() + b"\n")
        seen.add(content_of(tls))
        path.unlink()
        seen.add(content_of(tls))
        path.mkdir()
        seen.add(content_of(tls))
    assert len(seen) == 10


def test_what_is_in_files_that_cannot_be_read_can_be_asked_all_the_same() -> None:
    assert content_of(TLS("/missing", "a\0b", "\udcff")) != content_of(TLS("/missing", "a\0b", ""))
    assert content_of(TLS()) == content_of(TLS())
