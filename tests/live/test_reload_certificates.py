"""SIGHUP renews certificates, and no session ends."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from tests.certificates import Certificates, make_authority
from tests.live.daemon import PATIENCE, running
from tests.live.reloads import (
    Configured,
    configured,
    said,
)
from tests.live.streams import client_context, encrypted
from tests.live.websockets import WebSocketClient
from tests.web.frames import TEXT, Frame, frame

pytestmark = pytest.mark.live


@pytest.fixture(scope="session")
def renewed(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of another authority, such as follow those that run out."""
    return make_authority(tmp_path_factory.mktemp("renewed"))


def _serial(sock: ssl.SSLSocket) -> str:
    certificate = sock.getpeercert()
    assert certificate is not None
    return str(certificate["serialNumber"])


@pytest.mark.parametrize("with_file", [True, False], ids=["configuration", "options alone"])
def test_certificates_are_renewed_and_no_session_ends(
    tmp_path: Path, certificates: Certificates, renewed: Certificates, with_file: bool
) -> None:
    pem = tmp_path / "server.pem"
    pem.write_bytes(certificates.server_both.read_bytes())
    arguments = [f"--tls-certificate={pem}", "--echo=tls://127.0.0.1:0", "--web=tls://127.0.0.1:0"]
    arguments += ["--whoami=wss://127.0.0.1:0"]
    file = tmp_path / "netsvc.toml"
    if with_file:
        file.write_text("")
        arguments += ["--config", str(file)]
    with running(tmp_path, *arguments) as daemon:
        house = Configured(daemon, file)

        def dial(transport: str, service: str, of: Certificates) -> ssl.SSLSocket:
            raw = socket.create_connection(("127.0.0.1", daemon.port(service, transport)), PATIENCE)
            return encrypted(raw, client_context(of.ca))

        before = dial("tls", "echo", certificates)
        page = WebSocketClient(dial("tls", "web", certificates), "/ws/echo")
        sole = WebSocketClient(dial("wss", "whoami", certificates), "/")
        assert said(before, b"x") == b"x\n"
        assert sole.next() is not None
        pem.write_bytes(renewed.server_both.read_bytes())
        assert "0 opened, 0 closed, 3 changed, 0 as they were" in house.again()
        for service, transport in (("echo", "tls"), ("web", "tls"), ("whoami", "wss")):
            with dial(transport, service, renewed) as after:
                assert _serial(after) != _serial(before)
            with pytest.raises(ssl.SSLCertVerificationError):
                dial(transport, service, certificates)
        assert said(before, b"x") == b"x\n"
        page.send(frame(TEXT, b"still here"))
        assert page.next() == Frame(TEXT, b"still here")
        assert "0 changed, 3 as they were" in house.again()
        before.close()
        page.sock.close()
        sole.sock.close()


def test_an_endpoint_that_keeps_its_certificates_is_named(tmp_path: Path, certificates: Certificates) -> None:
    where = f"ssl:0:interface=127.0.0.1:certKey={certificates.server_certificate}"
    text = f"[echo]\nlisten = '{where}:privateKey={certificates.server_key}'\n"
    with configured(tmp_path, text) as house:
        assert "0 opened, 0 closed, 0 changed, 1 as they were" in house.again()
        house.daemon.wait_for_line("ssl:0:.* keeps its certificates until a restart")


def test_the_authorities_of_clients_are_renewed(
    tmp_path: Path, certificates: Certificates, renewed: Certificates
) -> None:
    authority = tmp_path / "ca.pem"
    authority.write_bytes(certificates.ca.read_bytes())
    text = (
        f'[tls]\ncertificate = "{certificates.server_both}"\nclient_ca = "{authority}"\n'
        '[echo]\nlisten = "tls://127.0.0.1:0"\n'
    )

    def context(of: Certificates) -> ssl.SSLContext:
        return client_context(certificates.ca, of.client_certificate, of.client_key)

    with configured(tmp_path, text) as house:
        place = ("127.0.0.1", house.daemon.port("echo", "tls"))

        def dial(of: Certificates) -> ssl.SSLSocket:
            return encrypted(socket.create_connection(place, PATIENCE), context(of))

        with dial(certificates) as before:
            assert said(before, b"x") == b"x\n"
            authority.write_bytes(renewed.ca.read_bytes())
            assert "1 changed" in house.again()
            with dial(renewed) as after:
                assert said(after, b"x") == b"x\n"
            with dial(certificates) as refused, pytest.raises(ssl.SSLError):
                refused.recv(99)
            assert said(before, b"x") == b"x\n"
