"""
What a person sees in a browser where there is no page: what is wrong, and where it is the token that is
missing, a field for it.

Who asks for no page is answered in JSON, as everywhere. These pages are whole by themselves, for who may not
come in gets no style sheet either.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from html import escape
from typing import Any

from twisted.web.http import RESPONSES

from netsvc.web.answers import HTTPError

#: Where programs ask, and people read what programs get.
_FOR_PROGRAMS = (b"/api/", b"/ws/", b"/metrics", b"/healthz", b"/readyz", b"/static/")

_STYLE = (
    ":root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}"
    "body{max-width:34rem;margin:12vh auto;padding:0 1rem}"
    "h1{font-size:1.2rem}"
    "form{display:flex;flex-wrap:wrap;gap:.6rem;align-items:end}"
    "label{flex:1 1 14rem}"
    "input,button{font:inherit;box-sizing:border-box;min-height:2.2rem;padding:.25rem .6rem}"
    "input{width:100%}"
)

#: Nothing but this style, and a form that leads back here.
HEADERS: Mapping[bytes, bytes] = {
    b"Content-Type": b"text/html; charset=utf-8",
    b"Content-Security-Policy": b"default-src 'none'; style-src 'sha256-%b'; base-uri 'none'; "
    b"form-action 'self'; frame-ancestors 'none'" % b64encode(hashlib.sha256(_STYLE.encode()).digest()),
}

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · netsvc</title>
<style>{style}</style>
<main>
<h1>{title}</h1>
<p>{text}.</p>
{form}</main>
</html>
"""

_FORM = """<form method="get" action="{path}">
<label>Token <input name="token" type="password" autocomplete="current-password" required autofocus></label>
<button>Open</button>
</form>
"""


def wants_page(request: Any) -> bool:
    """Whether a browser wants to show somebody a page."""
    accepted = b",".join(request.requestHeaders.getRawHeaders(b"Accept") or [])
    return (
        request.method in (b"GET", b"HEAD")
        and b"text/html" in accepted.lower()
        and not request.path.startswith(_FOR_PROGRAMS)
    )


def page_of(error: HTTPError, path: bytes) -> bytes:
    """
    An error as a page.

    @param path: what was asked for, where the form leads.
    """
    title = f"{error.status} {RESPONSES.get(error.status, b'').decode('ascii')}".strip()
    text = error.text[:1].upper() + error.text[1:]
    # Two slashes at its begin would lead to another server.
    place = "/" + path.decode("utf-8", "replace").lstrip("/")
    form = _FORM.format(path=escape(place)) if error.asks_for_token else ""
    return _PAGE.format(title=escape(title), style=_STYLE, text=escape(text), form=form).encode()
