"""An authority that issues whatever it is asked to, right or wrong; what is right is in `certificates.py`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

DAY = timedelta(days=1)

FOR_CLIENTS, FOR_SERVERS = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH


class Issuer:
    """
    An authority, or an intermediate one.

    @ivar certificate: its own.
    @ivar key: its own.
    """

    def __init__(self, name: str, above: Issuer | None = None, key: Key | None = None) -> None:
        """
        @param above: who issues its certificate; itself where there is nobody.
        """
        self.key = key or new_key()
        self._name = name_of(name)
        builder = _begin(self._name, self.key, (above or self)._name).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.certificate = builder.sign((above or self).key, hashes.SHA256())

    def issue(
        self,
        key: Key,
        subject: x509.Name,
        usages: Sequence[ObjectIdentifier] = (FOR_CLIENTS,),
        begins: timedelta = -2 * DAY,
        ends: timedelta = 30 * DAY,
        names: Sequence[str] = (),
    ) -> x509.Certificate:
        """
        A certificate.

        @param usages: what it may be used for; none at all leaves that open.
        @param begins: from now.
        @param ends: from now.
        @param names: of a server's.
        """
        builder = _begin(subject, key, self._name, begins, ends)
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(list(usages)), critical=False)
        if names:
            alternatives = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternatives, critical=False)
        return builder.sign(self.key, hashes.SHA256())


def new_key() -> ec.EllipticCurvePrivateKey:
    """A key, of the kind that is quickest to make."""
    return ec.generate_private_key(ec.SECP256R1())


def name_of(common: str) -> x509.Name:
    """A subject with a common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def write(path: Path, *made: x509.Certificate | Key) -> Path:
    """Put certificates and keys into a file, in PEM."""
    path.write_bytes(b"".join(map(_pem, made)))
    return path


def _pem(made: x509.Certificate | Key) -> bytes:
    if isinstance(made, x509.Certificate):
        return made.public_bytes(Encoding.PEM)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _begin(
    subject: x509.Name,
    key: Key,
    issuer: x509.Name,
    begins: timedelta = -2 * DAY,
    ends: timedelta = 30 * DAY,
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        subject_name=subject,
        issuer_name=issuer,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now + begins,
        not_valid_after=now + ends,
    )
