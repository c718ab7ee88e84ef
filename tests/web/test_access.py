"""Who may ask: the Host, the origin, the token, and whose word is taken for where a client is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from netsvc.interfaces import Arrival, TLSArrival
from netsvc.settings import Limits, Networks
from netsvc.web.access import outward_address, read_token
from tests.web.siterig import ELSEWHERE, HERE, TOKEN, Answer, Rig

#: Paths of each kind, all of which are behind the doors.
BEHIND = ["/", "/api/facts", "/api/listeners", "/metrics", "/nothing", "/ws/echo"]


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    file = tmp_path / "token"
    file.write_text(TOKEN + "\n")
    return str(file)


@pytest.fixture
def beyond(token_file: str) -> Rig:
    """A listener for everybody."""
    return Rig(address="0.0.0.0", token_file=token_file)


def ask(rig: Rig, path: str, arrival: Arrival = HERE, method: str = "GET", **headers: str) -> Answer:
    return rig.connect(arrival).ask(path, method, **headers)


def upgrade(rig: Rig, path: str, arrival: Arrival = HERE, **headers: str) -> int:
    """The status of an opening handshake that may come in, and is none: 400 or 404."""
    return ask(rig, path, arrival, upgrade="websocket", connection="Upgrade", **headers).status


# -- Host ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8080",
        "localhost.",
        "page.localhost",
        "127.0.0.1:9",
        "127.0.0.53",
        "[::1]:8080",
        "192.0.2.5",
        "page.example:80",
    ],
)
def test_the_page_is_reached_by_names_of_loopback_by_the_listeners_address_and_by_those_given(
    host: str,
) -> None:
    rig = Rig(address="192.0.2.5", hosts=["Page.Example"])
    assert ask(rig, "/api/listeners", host=host).status == 403
    assert "token" in ask(rig, "/api/listeners", host=host).json()["error"]
    rig = Rig(hosts=["Page.Example"])
    at = replace(HERE, local_address="192.0.2.5")
    assert ask(rig, "/api/listeners", at, host=host).status == 200


def test_a_link_local_address_is_reached_without_its_scope(token_file: str) -> None:
    rig = Rig(address="::", token_file=token_file)
    at = replace(ELSEWHERE, address="fe80::2%eth0", local_address="fe80::1%eth0")
    shown = {"authorization": f"Bearer {TOKEN}"}
    assert ask(rig, "/api/listeners", at, host="[fe80::1]:8080", **shown).status == 200
    assert ask(rig, "/api/listeners", at, host="[fe80::2]:8080", **shown).status == 403


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "192.0.2.6", "page.example.evil", "[::2]"]
)
@pytest.mark.parametrize("path", BEHIND)
def test_any_other_host_is_refused(host: str, path: str) -> None:
    answer = ask(Rig(hosts=["page.example"]), path, host=host)
    assert answer.status == 403
    assert answer.json()["error"].startswith("this Host is not known here")


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_supervisors_are_answered_whatever_the_host_and_without_a_token(beyond: Rig, path: str) -> None:
    assert ask(beyond, path, ELSEWHERE, host="10.1.2.3").json() == {"ok": True}
    assert ask(Rig(), path, host="evil.example").json() == {"ok": True}


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_reasons_are_for_those_who_may_know(token_file: str, path: str) -> None:
    rig = Rig(address="0.0.0.0", token_file=token_file, ready=lambda: False)
    host = {"host": "192.0.2.5"}
    answer = ask(rig, path, ELSEWHERE, **host)
    assert (answer.status, answer.json()) == (503, {"error": "not well"})
    for given in ("Bearer nope", "Bearer", f"Basic {TOKEN}"):
        assert "reasons" not in ask(rig, path, ELSEWHERE, authorization=given, **host).json()
    answer = ask(rig, path, ELSEWHERE, authorization=f"Bearer {TOKEN}", **host)
    assert answer.json()["reasons"] == ["not every listener is open, or the daemon is stopping"]
    here = Rig(ready=lambda: False)
    assert "reasons" in ask(here, path).json()
    assert "reasons" not in ask(here, path, host="evil.example").json()


# -- the token -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", BEHIND)
@pytest.mark.parametrize("arrival", [HERE, ELSEWHERE])
def test_a_listener_beyond_loopback_needs_the_token_from_everybody(
    beyond: Rig, path: str, arrival: Arrival
) -> None:
    host = arrival.local_address
    assert ask(beyond, path, arrival, host=host).status == 403
    assert ask(beyond, path, arrival, host=host, authorization="Bearer x").status == 403
    assert ask(beyond, path, arrival, host=host, cookie="netsvc_token_8080=x").status == 403
    assert ask(beyond, path, arrival, host=host, authorization=f"Bearer {TOKEN}").status != 403
    assert ask(beyond, path, arrival, host=host, authorization=f"bearer  {TOKEN}").status != 403
    assert ask(beyond, path, arrival, host=host, cookie=f"a=b; netsvc_token_8080={TOKEN}").status != 403


def test_a_listener_on_loopback_needs_none(token_file: str) -> None:
    assert ask(Rig(token_file=token_file), "/api/listeners").status == 200
    assert ask(Rig(), "/api/listeners").status == 200


def test_a_client_from_elsewhere_needs_it_on_loopback_too(token_file: str) -> None:
    """A PROXY header brings one."""
    rig = Rig(token_file=token_file)
    remote = replace(HERE, address="203.0.113.7")
    assert ask(rig, "/api/listeners", remote).status == 403
    assert ask(rig, "/api/listeners", remote, authorization=f"Bearer {TOKEN}").status == 200


def test_a_unix_sockets_client_is_on_this_machine() -> None:
    arrival = Arrival("unix", "", None, "/run/netsvc/web.sock", None)
    rig = Rig(address="/run/netsvc/web.sock")
    assert ask(rig, "/api/listeners", arrival).status == 200


def test_the_token_of_a_url_becomes_a_cookie_and_leaves_the_url(beyond: Rig) -> None:
    at = {"host": "192.0.2.5:8080"}
    answer = ask(beyond, f"/api/facts?kind=sent&token={TOKEN}&limit=3", ELSEWHERE, **at)
    assert answer.status == 303
    assert answer.headers["location"] == "/api/facts?kind=sent&limit=3"
    assert answer.headers["cache-control"] == "no-store"
    cookie, *attributes = answer.headers["set-cookie"].split("; ")
    assert attributes == ["Path=/", "HttpOnly", "SameSite=Strict"]
    assert ask(beyond, "/api/facts?kind=sent&limit=3", ELSEWHERE, cookie=cookie, **at).status == 200


@pytest.mark.parametrize(
    ("asked", "location"),
    [
        ("/?token=", "/"),
        ("/chat?a=b&token=", "/chat?a=b"),
        ("//evil.example/?token=", "/evil.example/"),
        ("/\\evil.example/?token=", "/evil.example/"),
    ],
)
def test_the_way_back_leads_to_this_site(beyond: Rig, asked: str, location: str) -> None:
    answer = ask(beyond, asked + TOKEN, ELSEWHERE, host="192.0.2.5")
    assert answer.headers["location"] == location


def test_a_browser_that_follows_a_link_of_another_site_gets_there_with_its_cookie(beyond: Rig) -> None:
    """With a redirection of such a link it would send no SameSite=Strict cookie, and be refused."""
    browser = {"host": "192.0.2.5", "accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for said in ({}, {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}):
        answer = ask(beyond, f"/chat?a=b&token={TOKEN}", ELSEWHERE, **browser, **said)
        assert (answer.status, answer.headers["refresh"]) == (200, "0; url=/chat?a=b")
        assert "SameSite=Strict" in answer.headers["set-cookie"]
        assert TOKEN not in answer.body.decode()
        assert ask(beyond, "/?token=x", ELSEWHERE, **browser, **said).status == 403
    # Where the user typed it, and for programs, it is a redirection.
    for path, said in (
        ("/", {"sec_fetch_site": "none"}),
        ("/api/facts", {}),
    ):
        answer = ask(beyond, f"{path}?token={TOKEN}", ELSEWHERE, **browser, **said)
        assert (answer.status, answer.headers["location"]) == (303, path)


def test_a_semicolon_does_not_hide_the_token_from_whoever_takes_it_away(beyond: Rig) -> None:
    answer = ask(beyond, f"/?a=1;token={TOKEN}", ELSEWHERE, host="192.0.2.5")
    assert (answer.status, "location" in answer.headers) == (403, False)
    answer = ask(beyond, f"/?a=1;b=2&%74oken={TOKEN}", ELSEWHERE, host="192.0.2.5")
    assert answer.headers["location"] == "/?a=1;b=2"


@pytest.mark.parametrize("given", ["x", "x%3B%20Max-Age=99999999", "%0d%0aX-Evil:%201", "%ff", ""])
def test_only_the_token_becomes_a_cookie(token_file: str, given: str) -> None:
    """Where none is needed too: a link could leave behind any cookie for every port of the host."""
    rig = Rig(token_file=token_file)
    answer = ask(rig, f"/chat?token={given}")
    assert (answer.status, answer.headers["location"]) == (303, "/chat")
    assert "set-cookie" not in answer.headers
    assert "set-cookie" in ask(rig, f"/chat?token={TOKEN}").headers


def test_a_wrong_token_in_a_url_is_no_better_than_none(beyond: Rig) -> None:
    answer = ask(beyond, "/?token=x", ELSEWHERE, host="192.0.2.5")
    assert answer.status == 403
    assert "set-cookie" not in answer.headers


def test_over_tls_the_cookie_is_for_tls_alone(beyond: Rig) -> None:
    over_tls = replace(ELSEWHERE, transport="tls", tls=TLSArrival("TLSv1.3", "x", None, None))
    answer = ask(beyond, f"/?token={TOKEN}", over_tls, host="192.0.2.5")
    assert answer.headers["set-cookie"].endswith("; SameSite=Strict; Secure")


def test_a_token_is_made_where_none_is_given_and_is_the_same_on_all_listeners() -> None:
    rig = Rig(address="0.0.0.0")
    token = rig.shared.token("")
    assert len(token) >= 32
    at = {"host": "192.0.2.5", "authorization": f"Bearer {token}"}
    assert ask(rig, "/api/listeners", ELSEWHERE, **at).status == 200
    rig.site = rig.make_site("192.0.2.5")
    assert ask(rig, "/api/listeners", ELSEWHERE, **at).status == 200
    assert Rig(address="0.0.0.0").shared.token("") != token


@pytest.mark.parametrize("content", ["", " \n", "two words", "no;semicolon", "ünicode", "a" * 5000])
def test_a_token_file_without_a_token_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)
    with pytest.raises(ValueError, match=r"web\.token_file .*token': expected one line"):
        read_token(str(file))


def test_a_token_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"web\.token_file .*: cannot read it: No such file"):
        read_token(str(tmp_path / "none"))
    (tmp_path / "bytes").write_bytes(b"\xff")
    with pytest.raises(ValueError, match="cannot read it: expected UTF-8"):
        read_token(str(tmp_path / "bytes"))


# -- proxies ---------------------------------------------------------------------------------------------


def behind_proxies(*networks: str, token_file: str = "") -> Rig:
    return Rig(limits=Limits(proxies=Networks.of(*networks)), token_file=token_file)


@pytest.mark.parametrize(
    ("networks", "forwarded", "expected"),
    [
        (["127.0.0.0/8"], "203.0.113.7", "203.0.113.7"),
        (["127.0.0.0/8"], "203.0.113.7:4711", "203.0.113.7"),
        (["127.0.0.0/8"], "[2001:db8::1]:4711", "2001:db8::1"),
        (["127.0.0.0/8"], "::ffff:203.0.113.7", "203.0.113.7"),
        # What a client claims before the first proxy that is believed is the client's own word.
        (["127.0.0.0/8"], "127.0.0.1, 203.0.113.7", "203.0.113.7"),
        (["127.0.0.0/8", "10.0.0.0/8"], "198.51.100.1, 203.0.113.7, 10.0.0.3", "203.0.113.7"),
        (["127.0.0.0/8"], "somebody", None),
        (["127.0.0.0/8"], "", None),
        ([], "203.0.113.7", "127.0.0.1"),
        (["192.0.2.0/24"], "203.0.113.7", "127.0.0.1"),
    ],
)
def test_the_clients_address_is_what_believed_proxies_say(
    networks: list[str], forwarded: str, expected: str | None
) -> None:
    rig = behind_proxies(*networks)
    seen = []
    needs_token = rig.site.access.needs_token

    def look(request: Any) -> bool:
        seen.append(rig.site.access.client_address(request))
        return needs_token(request)

    rig.site.access.needs_token = look  # type: ignore[method-assign]
    answer = ask(rig, "/api/listeners", x_forwarded_for=forwarded)
    assert seen[0] == expected
    assert answer.status == (200 if expected == "127.0.0.1" else 403)


def test_nobody_else_can_claim_to_be_here(beyond: Rig) -> None:
    rig = behind_proxies("127.0.0.0/8")
    remote = replace(HERE, address="203.0.113.7")
    assert ask(rig, "/api/listeners", remote, x_forwarded_for="127.0.0.1").status == 403
    assert ask(beyond, "/", HERE, x_forwarded_for="127.0.0.1").status == 403


def test_a_believed_proxy_says_whether_its_client_speaks_tls(token_file: str) -> None:
    rig = behind_proxies("127.0.0.0/8", token_file=token_file)
    asked = f"/?token={TOKEN}"
    said = {"x_forwarded_for": "203.0.113.7", "x_forwarded_proto": "https"}
    assert "; Secure" in ask(rig, asked, HERE, **said).headers["set-cookie"]
    rig = behind_proxies(token_file=token_file)
    assert "; Secure" not in ask(rig, asked, HERE, **said).headers["set-cookie"]


# -- origins ---------------------------------------------------------------------------------------------

FOREIGN = ["http://evil.example", "null", "http://localhost:9999", "https://localhost:8443", "file://", "x"]


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_of_another_origin_changes_nothing(origin: str) -> None:
    rig = Rig(origins=["*"])
    rig.receive(b"kept")
    for method in ("DELETE", "POST"):
        answer = ask(rig, "/api/facts", method=method, host="localhost:8080", origin=origin)
        assert answer.status == 403
        assert "another origin" in answer.json()["error"]
    assert len(rig.timeline) == 1


@pytest.mark.parametrize("path", ["/api/wait?timeout=0", "/%61pi/facts", "/metrics", "/static/style.css"])
@pytest.mark.parametrize("origin", FOREIGN)
def test_nor_does_it_ask_and_learn_from_the_time_that_the_answer_takes(path: str, origin: str) -> None:
    answer = ask(Rig(origins=["*"]), path, host="localhost:8080", origin=origin)
    assert answer.status == 403
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize("mode", ["no-cors", "navigate"])
def test_a_request_without_an_origin_is_known_by_what_the_browser_says_of_it(site: str, mode: str) -> None:
    """An image, a form, or a window that a page of another origin opens."""
    rig = Rig(origins=["*"])
    said = {"sec_fetch_site": site, "sec_fetch_mode": mode}
    for path in ("/api/wait?timeout=0", "/%61pi/facts", "/metrics", "/ws/facts"):
        assert ask(rig, path, HERE, **said).status == 403
    assert ask(rig, "/api/facts", HERE, "DELETE", **said).status == 403
    assert ask(rig, "/", HERE, "POST", **said).status == 403
    # A link leads to the page, which is the same for everybody; a picture in another page does not.
    assert ask(rig, "/", HERE, **said).status == (200 if mode == "navigate" else 403)


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_our_own_page_and_what_somebody_types_are_not_foreign(site: str) -> None:
    for mode in ("cors", "navigate"):
        answer = ask(Rig(), "/api/facts", sec_fetch_site=site, sec_fetch_mode=mode)
        assert answer.status == 200


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8080", "http://localhost:8080"),
        ("localhost", "http://localhost"),
        ("localhost:443", "https://localhost"),
        ("localhost", "https://localhost"),
        ("[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_our_own_page_may(host: str, origin: str) -> None:
    rig = Rig()
    assert ask(rig, "/api/facts", method="DELETE", host=host, origin=origin).status == 200
    assert upgrade(rig, "/ws/nothing", host=host, origin=origin) != 403


def test_a_program_sends_no_origin_and_may() -> None:
    assert ask(Rig(), "/api/facts", method="DELETE").status == 200
    assert upgrade(Rig(), "/ws/nothing") != 403


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_websocket_of_another_origin_is_refused(origin: str) -> None:
    rig = Rig(origins=["https://app.example"])
    assert upgrade(rig, "/ws/nothing", host="localhost:8080", origin=origin) == 403
    assert upgrade(rig, "/api/facts", host="localhost:8080", origin=origin) == 403


@pytest.mark.parametrize("origins", [["*"], ["https://App.example/"], ["https://app.example:443"]])
def test_origins_that_are_named_may_use_services_and_nothing_else(origins: list[str]) -> None:
    rig = Rig(origins=origins)
    origin = "https://app.example"
    assert upgrade(rig, "/ws/nothing", origin=origin) != 403
    for path in ("/ws/facts", "/ws/canvas", "/ws/facts/", "/ws/", "/ws/a/b", "/api/facts", "/"):
        assert upgrade(rig, path, origin=origin) == 403
    # The same, as resources are found.
    for path in ("/ws/%66acts", "/ws/canva%73", "/%77s/facts", "/ws%2ffacts"):
        assert upgrade(rig, path, origin=origin) == 403
    assert upgrade(rig, "/%77s/%6eothing", origin=origin) != 403
    for path in ("/api/facts", "/ws/nothing"):
        assert ask(rig, path, method="DELETE", origin=origin).status == 403


def test_a_websocket_may_bring_its_token_in_the_url(beyond: Rig) -> None:
    at = {"host": "192.0.2.5"}
    assert upgrade(beyond, "/ws/nothing", ELSEWHERE, **at) == 403
    assert upgrade(beyond, "/ws/nothing?token=x", ELSEWHERE, **at) == 403
    assert upgrade(beyond, f"/ws/nothing?token={TOKEN}", ELSEWHERE, **at) == 404


@pytest.mark.parametrize("host", ["page.example:80", "http://page.example", "*.example", "", "a b", "-x"])
def test_a_host_that_none_could_match_is_refused_at_start(host: str) -> None:
    with pytest.raises(ValueError, match=r"^web\.hosts '.*': expected a name or an address, without a port$"):
        Rig(hosts=[host])
    assert ask(Rig(hosts=["[2001:db8::5]"]), "/api/facts", host="[2001:db8::5]:80").status == 200


@pytest.mark.parametrize(
    "origin", ["app.example", "https://app.example/page", "https://", '["*"]', "", "a b"]
)
def test_an_origin_that_none_could_match_is_refused_at_start(origin: str) -> None:
    with pytest.raises(
        ValueError, match=r"^origin '.*': expected such as https://app\.example\.org, without"
    ):
        Rig(origins=[origin])


def test_apps_have_origins_too() -> None:
    rig = Rig(origins=["null", "app://shell", "http://[::1]:3000"])
    for origin in ("null", "app://shell", "http://[::1]:3000"):
        assert upgrade(rig, "/ws/nothing", origin=origin) != 403


# -- at start --------------------------------------------------------------------------------------------


def announced(rig: Rig) -> list[str | None]:
    said: list[str | None] = []
    rig.site._announcement = (lambda ask: lambda: said.append(ask()))(rig.site._announcement)
    rig.site.doStart()
    rig.clock.advance(0.001)
    rig.site.doStop()
    return said


def test_what_is_beyond_loopback_says_at_start_which_url_to_open(token_file: str) -> None:
    rig = Rig(address="192.0.2.5")
    token = rig.shared.token("")
    assert announced(rig) == [f"open http://192.0.2.5:8080/?token={token}"]
    rig = Rig(address="2001:db8::5")
    assert announced(rig) == [f"open http://[2001:db8::5]:8080/?token={rig.shared.token('')}"]
    rig = Rig(address="0.0.0.0")
    assert announced(rig) == [f"open http://{outward_address()}:8080/?token={rig.shared.token('')}"]
    assert announced(Rig()) == [None]
    # The one in the file is known to whoever wrote it, and the log is for others' eyes too.
    assert announced(Rig(address="0.0.0.0", token_file=token_file)) == [
        f"tcp://0.0.0.0:8080 needs the token of {token_file}"
    ]
