"""
What answers have in common: JSON, errors that say in one line what is wrong, and resources that give them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from zope.interface import implementer

from twisted.web.resource import IResource, Resource

JSON_TYPE = b"application/json"
NDJSON_TYPE = b"application/x-ndjson"

_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class HTTPError(Exception):
    """
    The answer to a request is that it cannot be answered.

    @ivar status: 400 and above, or how to come again.
    @ivar text: one line, for whoever reads the answer.
    @ivar headers: further headers of the answer.
    @ivar more: further members of the JSON object, beside ``error``.
    @ivar asks_for_token: whether it would be answered with the right token.
    """

    def __init__(
        self,
        status: int,
        text: str,
        headers: Mapping[bytes, bytes] | None = None,
        more: Mapping[str, Any] | None = None,
        asks_for_token: bool = False,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = dict(headers or {})
        self.more = dict(more or {})
        self.asks_for_token = asks_for_token

    def body(self) -> bytes:
        """The JSON object that is sent."""
        return answer({"error": self.text, **self.more})


def encoded(document: Any) -> bytes:
    """A document as JSON, in one line without its end."""
    # A path that is no UTF-8 has surrogates (PEP 383), which this makes JSON's own escapes of.
    return _JSON.encode(document).encode("utf-8", "backslashreplace")


def answer(document: Any) -> bytes:
    """A document as the whole body of an answer."""
    return encoded(document) + b"\n"


class Leaf(Resource):
    """Something that answers by itself; what comes behind it in a path does not exist."""

    isLeaf = False

    def getChild(self, path: bytes, request: Any) -> IResource:
        """There is nothing below."""
        return Missing()


class Branch(Resource):
    """Part of a path that is nothing by itself."""

    def getChild(self, path: bytes, request: Any) -> IResource:
        """What was not put there does not exist."""
        return Missing()

    def render(self, request: Any) -> bytes:
        """See `IResource`."""
        raise HTTPError(404, "nothing is here")


@implementer(IResource)
class Missing(Branch):
    """What does not exist."""


def put(root: Resource, path: bytes, resource: IResource) -> None:
    """
    Put a resource somewhere.

    @param path: such as ``/api/facts``; branches are made where there are none yet.
    """
    *above, last = path.strip(b"/").split(b"/")
    for part in above:
        below = root.children.get(part)
        if below is None:
            below = Branch()
            root.putChild(part, below)
        root = below
    root.putChild(last, resource)
