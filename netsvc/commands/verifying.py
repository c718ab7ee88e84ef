"""
Who is at the other end of a TLS connection: the files that the user named, and the check of the server's
chain and name (RFC 9525, by service-identity).

Twisted's own check says only that it failed, and resets the connection; this one says what failed, and the
server gets its alert.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from zope.interface import implementer

from twisted.internet.interfaces import IOpenSSLClientConnectionCreator

from netsvc.commands.address import Address
from netsvc.commands.complaints import NotDone

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from OpenSSL.crypto import X509
    from OpenSSL.SSL import Connection, Context

Loaded = TypeVar("Loaded")

#: Names of a certificate that a message shows at most.
_NAMES_SHOWN = 5

#: Our words for OpenSSL's X509_V_ERR numbers (x509_vfy.h); what is in braces is the failed certificate's.
_CHAIN_ERRORS = {
    2: "its issuer {issuer} is not a trusted authority",
    9: "{subject} is not valid before {begins}",
    10: "{subject} expired on {ends}",
    18: "self-signed certificate {subject}",
    19: "self-signed certificate in chain: {subject}",
    20: "its issuer {issuer} is not a trusted authority",
    21: "its issuer {issuer} is not a trusted authority",
    23: "{subject} is revoked",
    24: "{subject} is no authority but issued a certificate",
    26: "{subject} is not meant for servers",
    66: "the key of {subject} is too short",
    67: "the key of the authority {subject} is too short",
    68: "the signature of {subject} is too weak",
    79: "{subject} is no authority but issued a certificate",
}


@dataclass(frozen=True)
class TLSOptions:
    """
    What the user said of TLS.

    @ivar ca: PEM file of authorities to trust instead of the system's; they need not be roots.
    @ivar certificate: PEM file with the client's certificate, and its chain behind it.
    @ivar key: PEM file with its private key; None if that is in `certificate` too.
    @ivar insecure: verify nothing.
    """

    ca: str | None = None
    certificate: str | None = None
    key: str | None = None
    insecure: bool = False


@implementer(IOpenSSLClientConnectionCreator)
class Verification:
    """
    Makes the TLS of one connection, and checks the server's certificate.

    @ivar refusal: one line that says which chain or name was refused; ``""`` while none was.
    """

    def __init__(self, address: Address, tls: TLSOptions) -> None:
        """
        @param address: the server's; its host is the name, or IP address, that the certificate must have.
        @param tls: what the user said.
        @raise NotDone: a file cannot be used, or the host is no name that a certificate can have.
        """
        self._place = str(address).partition("://")[2].partition("/")[0]
        # A scope (fe80::1%eth0) and the root's dot (localhost.) say where, not who.
        self._host = address.host.partition("%")[0].removesuffix(".")
        self._server_name, self._check_name = _identity(self._host)
        self._insecure = tls.insecure
        self._context = _context(tls)
        self.refusal = ""

    def clientConnectionForTLS(self, tlsProtocol: Any) -> Connection:
        """See `IOpenSSLClientConnectionCreator`."""
        from OpenSSL.SSL import VERIFY_NONE, VERIFY_PEER, Connection

        connection = Connection(self._context, None)
        if self._server_name:
            connection.set_tlsext_host_name(self._server_name)
        if self._insecure:
            connection.set_verify(VERIFY_NONE, lambda *_: True)
        else:
            connection.set_verify(VERIFY_PEER, self._verify)
        return connection

    def _verify(self, connection: Connection, certificate: X509, error: int, depth: int, ok: int) -> bool:
        """Judge one certificate of the chain, for OpenSSL: whether the handshake may go on."""
        from cryptography.x509 import DuplicateExtension, InvalidVersion, UnsupportedGeneralNameType

        of = f"certificate of {self._place}"
        try:
            found = certificate.to_cryptography()
            if not ok:
                self.refusal = f"{of} is not trusted: {_chain_error(error, found)}"
            elif depth == 0 and not self._check_name(found):
                self.refusal = f"{of} is for {_names(found)}, not {self._host}"
        except (ValueError, InvalidVersion, DuplicateExtension, UnsupportedGeneralNameType) as problem:
            self.refusal = f"{of} cannot be read: {problem}"
        return not self.refusal


def _identity(host: str) -> tuple[bytes | None, Callable[[Certificate], bool]]:
    """The server name to send (none for an IP address, RFC 6066 section 3), and a certificate's check."""
    from service_identity import CertificateError, VerificationError
    from service_identity.cryptography import extract_patterns
    from service_identity.hazmat import DNS_ID, IPAddress_ID, ServiceID, verify_service_identity

    identity: ServiceID
    name = None
    try:
        if _is_ip_address(host):
            identity = IPAddress_ID(host)
        else:
            identity = named = DNS_ID(host)
            name = named.hostname
    except ValueError:
        raise NotDone(f"{host!r} is no name that a certificate can be for") from None

    def check(certificate: Certificate) -> bool:
        try:
            verify_service_identity(extract_patterns(certificate), [identity], [])
        except (VerificationError, CertificateError):
            return False
        return True

    return name, check


def _is_ip_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _chain_error(number: int, certificate: Certificate) -> str:
    text = _CHAIN_ERRORS.get(number, f"OpenSSL's error {number} at {{subject}}")
    return text.format(
        subject=certificate.subject.rfc4514_string() or "without a subject",
        issuer=certificate.issuer.rfc4514_string(),
        begins=f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
        ends=f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
    )


def _names(certificate: Certificate) -> str:
    from cryptography.x509 import DNSName, ExtensionNotFound, IPAddress, SubjectAlternativeName

    try:
        extension = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    except ExtensionNotFound:
        return "no host at all"
    names = extension.get_values_for_type(DNSName)
    names += [str(address) for address in extension.get_values_for_type(IPAddress)]
    shown = ", ".join(names[:_NAMES_SHOWN])
    return (shown + ", …" if len(names) > _NAMES_SHOWN else shown) or "no host at all"


def _context(tls: TLSOptions) -> Context:
    """What all TLS with these options has in common."""
    from OpenSSL.crypto import X509, X509StoreFlags

    from twisted.internet.ssl import Certificate, CertificateOptions, platformTrust, trustRootFromCertificates

    if tls.ca is None:
        context = CertificateOptions(trustRoot=platformTrust()).getContext()
    else:
        authorities = [X509.from_cryptography(one) for one in _certificates("--ca", tls.ca)]
        trusted = trustRootFromCertificates([Certificate(one) for one in authorities])
        context = CertificateOptions(trustRoot=trusted).getContext()
        store = context.get_cert_store()
        assert store is not None  # a context of OpenSSL's always has one
        # What the user names is trusted, also where it is no root.
        store.set_flags(X509StoreFlags.PARTIAL_CHAIN)
    if tls.certificate is not None:
        first, *chain = _certificates("--cert", tls.certificate)
        context.use_certificate(first)
        context.use_privatekey(_private_key(tls.certificate, tls.key, first))
        for one in chain:
            context.add_extra_chain_cert(one)
    return context


def _certificates(option: str, path: str) -> list[Certificate]:
    """The certificates of a file, at least one."""
    from cryptography.x509 import load_pem_x509_certificates

    return _load(option, path, load_pem_x509_certificates, "certificate")


def _private_key(certificate: str, key: str | None, first: Certificate) -> Any:
    """The key of a client certificate: in a file of its own, or in the certificate's."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    option, path = ("--cert", certificate) if key is None else ("--key", key)
    try:
        found = _load(option, path, lambda pem: load_pem_private_key(pem, None), "private key")
    except TypeError:
        raise NotDone(f"{option} {path!r}: the private key is encrypted; expected one that is not") from None
    if found.public_key() != first.public_key():
        raise NotDone(f"{option} {path!r}: the private key is not that of the certificate in {certificate!r}")
    return found


def _load(option: str, path: str, load: Callable[[bytes], Loaded], what: str) -> Loaded:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return load(Path(path).read_bytes())
    except OSError as error:
        raise NotDone(f"{option} {path!r}: {error.strerror}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise NotDone(f"{option} {path!r}: there is no {what} in it that can be read; expected PEM") from None
