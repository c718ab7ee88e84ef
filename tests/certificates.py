"""Certificates for tests, made with elliptic curves because those are quick to make."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

#: The subject of the client's certificate, as RFC 4514 writes it.
CLIENT_SUBJECT = "CN=device\\, the first,O=Bench"

#: The password of `Certificates.encrypted_key`.
PASSWORD = b"secret"

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Certificates:
    """
    PEM files in one directory.

    @ivar ca: the authority's certificate.
    @ivar server_certificate: for localhost, 127.0.0.1 and ::1, issued by it.
    @ivar server_key: its key.
    @ivar server_both: the certificate and its key in one file.
    @ivar encrypted_key: the same key behind `PASSWORD`.
    @ivar expired_certificate: for the same key, valid until yesterday.
    @ivar client_certificate: a client's, issued by the authority; its subject is `CLIENT_SUBJECT`.
    @ivar client_key: its key.
    @ivar other_ca: an authority that has issued nothing of the above.
    @ivar other_client_certificate: a client's, issued by the other authority.
    @ivar other_client_key: its key; it fits no other certificate.
    """

    ca: Path
    server_certificate: Path
    server_key: Path
    server_both: Path
    encrypted_key: Path
    expired_certificate: Path
    client_certificate: Path
    client_key: Path
    other_ca: Path
    other_client_certificate: Path
    other_client_key: Path


def make_authority(directory: Path) -> Certificates:
    """
    Make an authority, certificates of its, and another authority.

    @param directory: an empty directory, such as ``tmp_path_factory.mktemp("certificates")``.
    """
    made = Certificates(
        **{name: directory / f"{name}.pem" for name in Certificates.__dataclass_fields__}  # all are paths
    )
    ca, other_ca = _Authority("Test authority"), _Authority("Other authority")
    made.ca.write_bytes(ca.pem)
    made.other_ca.write_bytes(other_ca.pem)

    server_key = ec.generate_private_key(ec.SECP256R1())
    server = ca.issue(server_key, _name("localhost"), server=True)
    made.server_certificate.write_bytes(server)
    made.server_key.write_bytes(_key_pem(server_key))
    made.server_both.write_bytes(server + _key_pem(server_key))
    made.encrypted_key.write_bytes(_key_pem(server_key, BestAvailableEncryption(PASSWORD)))
    made.expired_certificate.write_bytes(
        ca.issue(server_key, _name("localhost"), server=True, ends=datetime.now(UTC) - _DAY)
    )

    for authority, certificate, key in (
        (ca, made.client_certificate, made.client_key),
        (other_ca, made.other_client_certificate, made.other_client_key),
    ):
        client_key = ec.generate_private_key(ec.SECP256R1())
        certificate.write_bytes(
            authority.issue(client_key, _name("device, the first", "Bench"), server=False)
        )
        key.write_bytes(_key_pem(client_key))
    return made


class _Authority:
    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name(name)
        key_usage = x509.KeyUsage(
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            key_cert_sign=True,
            crl_sign=True,
            encipher_only=False,
            decipher_only=False,
        )
        public = self._key.public_key()
        self.pem = (
            self._begin(public, self._name, datetime.now(UTC) + 30 * _DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(key_usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(self._key, hashes.SHA256())
            .public_bytes(Encoding.PEM)
        )

    def issue(
        self,
        key: ec.EllipticCurvePrivateKey,
        subject: x509.Name,
        *,
        server: bool,
        ends: datetime | None = None,
    ) -> bytes:
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = (
            self._begin(key.public_key(), subject, ends or datetime.now(UTC) + 30 * _DAY)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
        )
        if server:
            addresses = [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1")]
            names = x509.SubjectAlternativeName([x509.DNSName("localhost"), *addresses])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def _begin(
        self, key: ec.EllipticCurvePublicKey, subject: x509.Name, ends: datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.now(UTC) - 2 * _DAY)
            .not_valid_after(ends)
        )


def _name(common: str, organization: str = "") -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _key_pem(key: ec.EllipticCurvePrivateKey, encryption: KeySerializationEncryption | None = None) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
