"""The files of the page, from the package: read once at start, and never from a path that a request names."""

from __future__ import annotations

import hashlib
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any

from twisted.web.resource import IResource

from netsvc.web.answers import Leaf

#: What the files are; anything else would be a file that does not belong to the page.
TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".svg": b"image/svg+xml",
    ".png": b"image/png",
    ".ico": b"image/vnd.microsoft.icon",
    ".json": b"application/json",
    ".webmanifest": b"application/manifest+json",
    ".txt": b"text/plain; charset=utf-8",
}


class StaticFile(Leaf):
    """
    One file.

    @ivar etag: names this content (RFC 9110 section 8.8.3).
    """

    def __init__(self, content: bytes, content_type: bytes) -> None:
        """
        @param content: all of it.
        @param content_type: the header's value.
        """
        super().__init__()
        self._content = content
        self._content_type = content_type
        self.etag = b'"%b"' % hashlib.sha256(content).hexdigest()[:32].encode("ascii")

    def render_GET(self, request: Any) -> bytes:
        """The file, or 304 where the client has it already (RFC 9110 section 13.1.2)."""
        request.setHeader(b"ETag", self.etag)
        # Kept, but asked for again each time: a new netsvc has new files.
        request.setHeader(b"Cache-Control", b"no-cache")
        if self._is_known(request.requestHeaders.getRawHeaders(b"If-None-Match") or []):
            request.setResponseCode(304)
            return b""
        request.setHeader(b"Content-Type", self._content_type)
        return self._content

    def _is_known(self, tags: list[bytes]) -> bool:
        known = [tag.strip().removeprefix(b"W/") for value in tags for tag in value.split(b",")]
        return b"*" in known or self.etag in known


def static_files() -> dict[bytes, IResource]:
    """The resources of the page by path."""
    return files_in(resources.files("netsvc.web") / "static")


def files_in(directory: Traversable) -> dict[bytes, IResource]:
    """
    The resources of a directory's files by path.

    Each file is ``/static/NAME``; a page NAME.html is also ``/NAME``, and index.html ``/``.
    """
    found: dict[bytes, IResource] = {}
    _collect(directory, "/static/", found)
    return found


def _collect(directory: Traversable, path: str, found: dict[bytes, IResource]) -> None:
    for item in directory.iterdir():
        name = item.name
        if item.is_dir():
            _collect(item, f"{path}{name}/", found)
            continue
        stem, dot, ending = name.rpartition(".")
        content_type = TYPES.get(dot + ending)
        if content_type is None:
            continue
        file = StaticFile(item.read_bytes(), content_type)
        found[f"{path}{name}".encode()] = file
        if path == "/static/" and ending == "html":
            found[b"/" if stem == "index" else f"/{stem}".encode()] = file
