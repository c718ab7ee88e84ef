"""
The server's side of TLS, without I/O: ciphertext in, plaintext out, and the other way round.

It stands on Python's own `ssl` over memory: half the cost per message of Twisted's TLS layer, and closing is
decided by whoever holds the session: the client's close_notify ends the input, not the answer (RFC 8446
section 6.1). TLS is 1.2 and newer, without compression and renegotiation.

Rules here: a client's fault is a `TLSFailure`, anything else is a defect of ours; OpenSSL's memory buffers
never shrink, so they are never given more than one record's worth at a time.
"""

from __future__ import annotations

import os
import re
import ssl
import stat
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from hashlib import sha256
from time import time
from typing import TYPE_CHECKING

from twisted.logger import Logger

from netsvc.interfaces import TLSArrival
from netsvc.net.clienthello import lacks_its_end, server_name
from netsvc.net.groups import context_for, for_each_group
from netsvc.settings import TLS, SettingError

if TYPE_CHECKING:
    from OpenSSL.crypto import X509

#: Bytes of plaintext in the largest record (RFC 8446 section 5.1).
_RECORD = 16_384

#: Bytes kept of a handshake until its ClientHello is there: several times what any client sends, its
#: post-quantum key share included. In a longer one the server name is not looked for.
_MAX_HELLO = 16_384


_CERTIFICATE = "a PEM file with the server's certificate and its chain"
_KEY = "a PEM file with the certificate's private key, without a password"
_CLIENT_CA = "a PEM file with certificates of authorities"

#: What Python puts around OpenSSL's words.
_DRESSED = re.compile(r"\A\[[^]]*\] | \(_ssl\.c:\d+\)\Z")

_log = Logger()


def server_context(tls: TLS, now: Callable[[], float] = time) -> ssl.SSLContext:
    """
    Read certificates and keys, once for many sessions.

    A certificate outside its time, or one that is not for servers, is served all the same, since that may be
    what is tested, and logged.

    @param tls: the settings; without `key` the key is in the certificate's file. DH parameters in that file
        are used, and without them DHE suites are not.
    @param now: gives seconds since the epoch.
    @raise SettingError: a file is missing, unreadable or not what it should be, or the ciphers select none.
    """
    if tls.client_ca:
        # In TLS 1.2 a context's groups are also the curves of clients' certificates: one is too few.
        context = _context(ssl.SSLContext, tls)
    else:
        context = for_each_group(lambda kind: _context(kind, tls))
    _warn_of_what_clients_refuse(tls.certificate, now())
    return context


def _context(kind: type[ssl.SSLContext], tls: TLS) -> ssl.SSLContext:
    context = kind(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    # Before the certificate, because the ciphers' @SECLEVEL decides which keys are too short.
    try:
        context.set_ciphers(tls.ciphers)
    except (ssl.SSLError, ValueError):
        raise SettingError(
            f"ciphers {tls.ciphers!r}: they select no suite; expected OpenSSL's names of TLS 1.2 suites"
        ) from None
    _load_certificate(context, tls)
    if tls.client_ca:
        _load_client_ca(context, tls.client_ca)
    return context


def content_of(tls: TLS) -> bytes:
    """
    What is in the files that settings name, as a digest: it changes when a certificate is renewed.

    A file that cannot be read has its say too; `server_context` says what is wrong with it.
    """
    return digest_of(path for path in (tls.certificate, tls.key, tls.client_ca) if path)


def digest_of(paths: Iterable[str]) -> bytes:
    """What is in some files, as a digest; also of those that are not there, or are no regular files."""
    digest = sha256()
    for path in paths:
        digest.update(repr(path).encode())
        try:
            if stat.S_ISREG(os.stat(path).st_mode):
                with open(path, "rb") as file:
                    digest.update(sha256(file.read()).digest())
        except (OSError, ValueError) as error:
            digest.update(str(error).encode("utf-8", "backslashreplace"))
    return digest.digest()


def _load_certificate(context: ssl.SSLContext, tls: TLS) -> None:
    if not tls.certificate:
        raise SettingError(f"certificate: none is given; expected {_CERTIFICATE}")
    pem = _pem("certificate", tls.certificate, b"CERTIFICATE-----", _CERTIFICATE)
    if tls.key:
        key = f"key {tls.key!r}"
        _pem("key", tls.key, b"PRIVATE KEY-----", _KEY)
    else:
        key = f"certificate {tls.certificate!r}"
        if b"PRIVATE KEY-----" not in pem:
            raise SettingError(f"{key}: it holds no private key and no key is given; expected {_KEY}")
    try:
        context.load_cert_chain(tls.certificate, tls.key or None, password=_refuse_password)
        if b"DH PARAMETERS-----" in pem:
            context.load_dh_params(tls.certificate)
    except _PasswordWantedError:
        raise SettingError(f"{key}: the private key is encrypted; expected {_KEY}") from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise SettingError(
                f"{key}: the private key does not match the certificate {tls.certificate!r}; expected {_KEY}"
            ) from None
        raise SettingError(
            f"certificate {tls.certificate!r}, {key}: OpenSSL says {_reason(error)}; expected {_CERTIFICATE}"
        ) from None
    except OSError as error:
        raise SettingError(f"certificate {tls.certificate!r}, {key}: {error.strerror or error}") from None


def _load_client_ca(context: ssl.SSLContext, path: str) -> None:
    _pem("client_ca", path, b"CERTIFICATE-----", _CLIENT_CA)
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError as error:
        raise SettingError(
            f"client_ca {path!r}: OpenSSL says {_reason(error)}; expected {_CLIENT_CA}"
        ) from None
    except OSError as error:
        raise SettingError(f"client_ca {path!r}: {error.strerror or error}; expected {_CLIENT_CA}") from None
    context.verify_mode = ssl.CERT_REQUIRED


def _pem(key: str, path: str, marker: bytes, expected: str) -> bytes:
    """Read a file first ourselves, because OpenSSL says little of what is wrong with one."""
    try:
        # A pipe would wait for its writer, and can be read only once.
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise SettingError(f"{key} {path!r}: it is no regular file; expected {expected}")
        with open(path, "rb") as file:
            content = file.read()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SettingError(f"{key} {path!r}: {reason}; expected {expected}") from None
    if marker not in content:
        raise SettingError(f"{key} {path!r}: there is none in it; expected {expected}")
    return content


class _PasswordWantedError(Exception):
    """The key is encrypted."""


def _refuse_password() -> str:
    # Without this, OpenSSL would ask on the terminal and wait.
    raise _PasswordWantedError


def _warn_of_what_clients_refuse(path: str, now: float) -> None:
    pem = _pem("certificate", path, b"CERTIFICATE-----", _CERTIFICATE)
    # Imported here because it takes long, and most daemons serve no TLS.
    from cryptography.x509 import ExtendedKeyUsage, load_pem_x509_certificate
    from cryptography.x509.oid import ExtendedKeyUsageOID

    try:
        certificate = load_pem_x509_certificate(pem)
        begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        extensions = [one.value for one in certificate.extensions]
        usages = {usage for one in extensions if isinstance(one, ExtendedKeyUsage) for usage in one}
    except ValueError as error:
        _log.warn("certificate {path}: it cannot be looked at: {error}", path=repr(path), error=str(error))
        return
    if usages and usages.isdisjoint(
        {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE}
    ):
        _log.warn("certificate {path} is not for servers: clients will refuse it", path=repr(path))
    if not begins <= datetime.fromtimestamp(now, UTC) <= ends:
        _log.warn(
            "certificate {path} is valid from {begins} to {ends}, not now: clients will refuse it",
            path=repr(path),
            begins=str(begins),
            ends=str(ends),
        )


class TLSFailure(Exception):  # noqa: N818 - the handshake or the session failed, as TLS says it
    """
    The client broke TLS, or would not have ours; the text is OpenSSL's reason or the alert, in words.

    @ivar received: the plaintext that came before the fault, in the same call.
    """

    def __init__(self, reason: str, received: list[bytes]) -> None:
        super().__init__(reason)
        self.received = received


class TLSSession:
    """
    One connection's TLS.

    After every call of `receive` (also one that raised), `send` and `close`, what `outgoing` returns is to be
    written to the client.

    @ivar handshaken: the handshake is over; before that nothing can be sent.
    @ivar ended: the client has sent its close_notify and will send no more. Sending goes on.
    """

    __slots__ = (
        "_bio_in",
        "_bio_out",
        "_closed",
        "_hello",
        "_over",
        "_sealed",
        "_server_name",
        "_tls",
        "_unserved",
        "ended",
        "handshaken",
    )

    _tls: ssl.SSLObject

    def __init__(self, context: ssl.SSLContext) -> None:
        """
        @param context: from `server_context`.
        """
        self._bio_in = ssl.MemoryBIO()
        self._bio_out = ssl.MemoryBIO()
        # Until the client's first record is whole, and with it known which of its contexts serves it.
        self._unserved: ssl.SSLContext | None = context
        self._sealed: list[bytes] = []
        self._hello: bytearray | None = bytearray()
        self._server_name: str | None = None
        # Nothing more is sent; and nothing is understood any more either.
        self._closed = False
        self._over = False
        self.handshaken = False
        self.ended = False

    def receive(self, ciphertext: bytes) -> list[bytes]:
        """
        Take bytes of the client, cut anywhere.

        @return: the plaintext in them, one piece per record, also after `close`. Nothing once the input has
            ended, and nothing after a failure: what still comes then is thrown away.
        @raise TLSFailure: the session is over; `outgoing` still has the alert that tells the client.
        """
        plaintext: list[bytes] = []
        if self._over:
            return plaintext
        try:
            if len(ciphertext) <= _RECORD:
                self._open(ciphertext, plaintext)
            else:
                for start in range(0, len(ciphertext), _RECORD):
                    self._open(ciphertext[start : start + _RECORD], plaintext)
        except ssl.SSLError as error:
            self._over = True
            raise TLSFailure(_reason(error), plaintext) from None
        return plaintext

    def send(self, plaintext: bytes) -> None:
        """
        Encrypt bytes for the client. After `close` or a failure they go nowhere.

        @raise RuntimeError: the handshake is not over.
        """
        if self._closed or self._over:
            return
        if not self.handshaken:
            raise RuntimeError("nothing can be sent before the TLS handshake is over")
        if 0 < len(plaintext) <= _RECORD:
            self._tls.write(plaintext)
            return
        view = memoryview(plaintext)
        for start in range(0, len(view), _RECORD):
            self._tls.write(view[start : start + _RECORD])
            self._sealed.append(self._bio_out.read())

    def outgoing(self) -> bytes:
        """The ciphertext to write to the client now; each byte is returned once."""
        if not self._sealed:
            return self._bio_out.read()
        self._sealed.append(self._bio_out.read())
        sealed, self._sealed = b"".join(self._sealed), []
        return sealed

    def close(self) -> None:
        """Say, behind everything sent before, that nothing more will be (close_notify). Once is enough."""
        if self._closed or self._over:
            return
        self._closed = True
        if not self.handshaken:
            self._over = True
            return
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            # Ours is written; the client's, which OpenSSL would wait for, may come or not. It can also be an
            # error that another session left behind, for Python's unwrap does not always take it away.
            return

    def arrival(self) -> TLSArrival:
        """What TLS said of the connection; to be asked once it is `handshaken`."""
        cipher = self._tls.cipher()
        return TLSArrival(
            version=self._tls.version() or "",
            cipher=cipher[0] if cipher else "",
            server_name=self._server_name,
            client_subject=self._client_subject(),
        )

    def peer_certificate(self) -> X509 | None:
        """The client's certificate, as `twisted.internet.interfaces.ISSLTransport` gives it, or None."""
        der = self._tls.getpeercert(binary_form=True)
        if der is None:
            return None
        # Imported here because it takes long, and few services ask.
        from OpenSSL.crypto import FILETYPE_ASN1, load_certificate

        return load_certificate(FILETYPE_ASN1, der)

    def _client_subject(self) -> str | None:
        der = self._tls.getpeercert(binary_form=True)
        if der is None:
            return None
        # Imported here because it takes long, and most listeners ask for no client certificate.
        from cryptography.x509 import load_der_x509_certificate

        try:
            return load_der_x509_certificate(der).subject.rfc4514_string()
        except ValueError:
            # OpenSSL is more lenient than cryptography; the certificate was verified all the same.
            return None

    def _open(self, ciphertext: bytes, plaintext: list[bytes]) -> None:
        """Decrypt what is there. A record is read whole, so that an empty buffer means nothing is left."""
        if self.ended:
            return
        if self._unserved is not None:
            ciphertext = self._begin(self._unserved, ciphertext)
            if not ciphertext:
                return
        bio, tls = self._bio_in, self._tls
        bio.write(ciphertext)
        try:
            if not self.handshaken:
                self._shake_hands(ciphertext)
            while bio.pending:
                data = tls.read(_RECORD)
                if not data:
                    self.ended = True
                    return
                plaintext.append(data)
        except ssl.SSLWantReadError:
            # The rest of a record, or of the handshake, has yet to come.
            return
        except ssl.SSLZeroReturnError:
            # How OpenSSL tells of the client's close_notify once ours is sent.
            if not self.handshaken:
                raise
            self.ended = True

    def _begin(self, context: ssl.SSLContext, ciphertext: bytes) -> bytes:
        """Once the first record is whole, or is none: make the session, and give all that has come."""
        assert self._hello is not None
        self._hello += ciphertext
        if lacks_its_end(self._hello):
            return b""
        came, self._hello = bytes(self._hello), bytearray()
        self._unserved = None
        self._tls = context_for(context, came).wrap_bio(self._bio_in, self._bio_out, server_side=True)
        return came

    def _shake_hands(self, ciphertext: bytes) -> None:
        if self._hello is not None and len(self._hello) < _MAX_HELLO:
            self._hello += ciphertext
        try:
            self._tls.do_handshake()
            self.handshaken = True
        finally:
            if self._hello is not None and self._bio_out.pending:
                # OpenSSL answers as soon as it has the whole ClientHello.
                self._server_name = server_name(bytes(self._hello))
                self._hello = None


def _reason(error: ssl.SSLError) -> str:
    """OpenSSL's reason in words, ``no shared cipher`` for ``NO_SHARED_CIPHER``."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLZeroReturnError):
        return "closed during the handshake"
    name: str | None = getattr(error, "reason", None)
    if name:
        return name.replace("_", " ").lower()
    # Python has no name for this one; its text is "[SSL] internal error (_ssl.c:1006)".
    return _DRESSED.sub("", str(error.args[-1])) or "unknown error"
