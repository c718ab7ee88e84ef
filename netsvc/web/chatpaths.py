"""The chat by long polling, as the description of the API has it; see `netsvc.web.polling`."""

from __future__ import annotations

from typing import Any

from netsvc.web.describing import array_of, error, json_of, object_of, operation, parameter
from netsvc.web.polling import LONGEST_WAIT, WAIT

_TEXT = {"type": "string"}
_NUMBER = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
_NOTHING = json_of({"type": "object"}, "it is done")
_GONE = error("there is no such session, or not any more")

_SESSION = {
    "name": "session",
    "in": "path",
    "required": True,
    "description": "what its beginning was answered with",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"},
}

#: What a client says; the same over WebSocket.
_SAID = {
    "oneOf": [
        object_of({"type": {"const": "join"}, "name": _TEXT}),
        object_of({"type": {"const": "say"}, "text": _TEXT}),
    ]
}


def chat_paths() -> dict[str, Any]:
    """The paths of the chat, with their operations."""
    begin = operation(
        "chatBegin",
        "Begin a session, for where WebSocket does not pass",
        {
            "200": json_of(object_of({"session": _TEXT}), "its name, which is in the paths of what follows"),
            "429": error("one of the limits on connections of the chat"),
            "503": error("there are as many sessions as there may be"),
        },
    )
    say = {
        **operation("chatSay", "Send a message", {"200": _NOTHING, "404": _GONE}, [_SESSION]),
        "requestBody": {"content": {"application/json": {"schema": _SAID}}},
    }
    hear = operation(
        "chatHear",
        "Wait for messages",
        {
            "200": json_of(object_of({"messages": array_of({"type": "object"}), "last": _NUMBER})),
            "404": _GONE,
        },
        [
            _SESSION,
            parameter(
                "after",
                "the number of the last message that has come; all that were ever sent if not given",
                _NUMBER,
            ),
            parameter(
                "wait",
                "seconds",
                {"type": "number", "minimum": 0, "maximum": LONGEST_WAIT, "default": WAIT},
            ),
        ],
    )
    leave = operation("chatLeave", "End a session", {"200": _NOTHING, "404": _GONE}, [_SESSION])
    return {
        "/api/chat": {"post": begin},
        "/api/chat/{session}": {"post": say, "get": hear, "delete": leave},
    }
