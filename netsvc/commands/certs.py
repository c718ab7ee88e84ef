"""
``netsvc certs``: a private authority, a server certificate and a client certificate, for a bench or a class.

Whoever is to believe them is given ``ca.pem``. What is there is never overwritten: a key that is gone is
gone.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import idna
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from netsvc.commands.complaints import NotDone
from netsvc.commands.standard_output import write_line

Host = str | ipaddress.IPv4Address | ipaddress.IPv6Address

#: Every file that is made.
FILES = ("ca.pem", "ca.key", "server.pem", "server.key", "client.pem", "client.key")

#: How far back they are valid, for machines whose clock is slow.
_SLOW_CLOCKS = timedelta(hours=1)

#: The longest common name (RFC 5280, appendix A.1: ub-common-name).
_LONGEST_COMMON_NAME = 64


def parse_host(text: str) -> Host:
    """
    Read a host that a certificate is to be for.

    @param text: an IP address, also in brackets, or a name; ``*.`` before it is every name one level below.
    @return: the address, or the name in ASCII (RFC 5280 section 7.2) and lower case, without the root's dot:
        a certificate's names have none.
    @raise ValueError: it is neither; the text says so in one line.
    """
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(text[1:-1] if text[:1] + text[-1:] == "[]" else text)
    wildcard, name = ("*.", text[2:]) if text.startswith("*.") else ("", text)
    name = name.removesuffix(".")
    try:
        # IDNA knows no underscore, which names of containers have.
        ascii_name = idna.encode(name.replace("_", "x"), uts46=True).decode()
        if "_" in name:
            ascii_name = name.encode("ascii").decode().lower()
    except (idna.IDNAError, UnicodeEncodeError):
        raise ValueError(f"{text!r} is neither a host name nor an IP address") from None
    if ascii_name.rpartition(".")[2].isdigit():
        raise ValueError(f"{text!r} is no IP address, and a host name does not end in a number")
    return wildcard + ascii_name


@dataclass(frozen=True)
class Pair:
    """
    A certificate and its private key.

    @ivar certificate: the certificate.
    @ivar key: its key, on the curve P-256, which every TLS stack has.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def certificate_pem(self) -> bytes:
        """The certificate as PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self) -> bytes:
        """The key as PEM, PKCS #8, without a password."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def make_authority(begins: datetime, ends: datetime) -> Pair:
    """Make an authority that issues certificates but no other authorities."""
    # Two authorities of one name confuse whoever trusts both: each has its own.
    name = _name(f"netsvc private authority {x509.random_serial_number():x}"[:40])
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _begin(name, name, key, begins, ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True, crl_sign=True), critical=True)
    )
    return Pair(builder.sign(key, hashes.SHA256()), key)


def make_server(authority: Pair, hosts: Sequence[Host]) -> Pair:
    """Make a server certificate, valid as long as its authority, for some names and addresses."""
    first = str(hosts[0])
    subject = _name(first if len(first) <= _LONGEST_COMMON_NAME else "netsvc server")
    names = [x509.DNSName(host) if isinstance(host, str) else x509.IPAddress(host) for host in hosts]
    return _issue(authority, subject, ExtendedKeyUsageOID.SERVER_AUTH, x509.SubjectAlternativeName(names))


def make_client(authority: Pair) -> Pair:
    """Make a client certificate, valid as long as its authority."""
    return _issue(authority, _name("netsvc client"), ExtendedKeyUsageOID.CLIENT_AUTH, None)


def write_new(directory: Path, contents: Mapping[str, bytes]) -> None:
    """
    Write files that are not there yet: all of them, or none.

    @param directory: made if it is missing; it and the files are for their owner alone.
    @param contents: file names and what they hold.
    @raise FileExistsError: one of them is there.
    @raise OSError: the system refused.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    written: list[Path] = []
    try:
        for name, content in contents.items():
            path = directory / name
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            written.append(path)
            with open(descriptor, "wb") as file:
                file.write(content)
    except OSError:
        for path in written:
            path.unlink(missing_ok=True)
        raise


def lines_to_paste(directory: Path, host: Host) -> str:
    """
    What to type to use the files.

    @param directory: where they are.
    @param host: one that the server certificate is for.
    """

    def file(name: str) -> str:
        return shlex.quote(str(directory / name))

    # Nobody can listen on, or connect to, a wildcard.
    wildcard = isinstance(host, str) and host.startswith("*.")
    name = "NAME" + str(host)[1:] if wildcard else str(host)
    address = f"[{name}]:2007" if isinstance(host, ipaddress.IPv6Address) else f"{name}:2007"
    where = shlex.quote("tls://:2007" if wildcard else f"tls://{address}")
    serve = f"netsvc serve --tls-certificate {file('server.pem')} --tls-key {file('server.key')}"
    own = f"--cert {file('client.pem')} --key {file('client.key')}"
    return (
        "The daemon, here with echo over TLS:\n"
        f"  {serve} --echo {where}\n"
        "the same, for clients with a certificate only:\n"
        f"  {serve} --tls-client-ca {file('ca.pem')} --echo {where}\n"
        "Clients:\n"
        f"  netsvc talk --ca {file('ca.pem')} {shlex.quote(f'tls://{address}')}\n"
        f"  netsvc talk --ca {file('ca.pem')} {own} {shlex.quote(f'tls://{address}')}\n"
        f"  openssl s_client -verify_return_error -CAfile {file('ca.pem')} -connect {shlex.quote(address)}\n"
    )


def _parse_hosts(context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> list[Host]:
    try:
        return list(dict.fromkeys(map(parse_host, texts)))
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command("certs")
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.argument("hosts", metavar="HOST...", nargs=-1, required=True, callback=_parse_hosts)
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    default=365,
    show_default=True,
    help="How long they are valid.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the files' paths as JSON.")
def command(directory: Path, hosts: list[Host], days: int, as_json: bool) -> None:
    """
    Make a private authority and certificates in DIR.

    The server certificate is for the host names and IP addresses HOST. Files: ca.pem for everybody who is to
    trust the others, server.pem and server.key, client.pem and client.key, and ca.key, which nobody needs.
    Nothing is overwritten.
    """
    now = datetime.now(UTC).replace(microsecond=0)
    authority = make_authority(now - _SLOW_CLOCKS, now + timedelta(days=days))
    server = make_server(authority, hosts)
    client = make_client(authority)
    contents = {
        "ca.pem": authority.certificate_pem(),
        "ca.key": authority.key_pem(),
        "server.pem": server.certificate_pem(),
        "server.key": server.key_pem(),
        "client.pem": client.certificate_pem(),
        "client.key": client.key_pem(),
    }
    try:
        write_new(directory, contents)
    except FileExistsError as error:
        raise NotDone(
            f"{error.filename} is there already, and nothing is overwritten; name another directory"
        ) from None
    except OSError as error:
        raise NotDone(f"{error.filename or directory}: {error.strerror}") from None
    directory = directory.resolve()
    if as_json:
        paths = {name.replace(".", "_"): str(directory / name) for name in FILES}
        write_line(json.dumps({**paths, "expires": authority.certificate.not_valid_after_utc.isoformat()}))
    else:
        write_line(f"Made in {directory}, valid for {days} days: {', '.join(FILES)}\n")
        write_line(lines_to_paste(directory, hosts[0]).rstrip())


def _issue(
    authority: Pair,
    subject: x509.Name,
    usage: x509.ObjectIdentifier,
    names: x509.SubjectAlternativeName | None,
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    builder = (
        _begin(issuer.subject, subject, key, issuer.not_valid_before_utc, issuer.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        .add_extension(identifier, critical=False)
    )
    if names is not None:
        builder = builder.add_extension(names, critical=False)
    return Pair(builder.sign(authority.key, hashes.SHA256()), key)


def _begin(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePrivateKey, begins: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _key_usage(**used: bool) -> x509.KeyUsage:
    uses = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement "
        "key_cert_sign crl_sign encipher_only decipher_only"
    )
    return x509.KeyUsage(**{use: used.get(use, False) for use in uses.split()})


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])
