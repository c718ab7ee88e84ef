"""
The description of the API (OpenAPI 3.1), from the same constants as what it describes.

Every answer that there can be is in it, errors too; the tests ask everything at random and allow no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netsvc.facts import KINDS
from netsvc.journal.moments import EXPECTED
from netsvc.journal.query import MAX_LIMIT, MAX_PATTERN, MAX_VALUES
from netsvc.web.chatpaths import chat_paths
from netsvc.web.describing import array_of as _array
from netsvc.web.describing import error as _error
from netsvc.web.describing import json_of as _json
from netsvc.web.describing import object_of as _object
from netsvc.web.describing import operation as _operation
from netsvc.web.describing import parameter as _parameter
from netsvc.web.describing import ref as _ref
from netsvc.web.timeline import DEFAULT_WAIT, MAX_WAIT

_STRING = {"type": "string"}
_NULLABLE_STRING = {"type": ["string", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_NULLABLE_COUNT = {"type": ["integer", "null"], "minimum": 0}
_TOTAL = {**_COUNT, "description": "how many there are, also of those beyond the limit"}
_SEQ = {"type": "integer", "minimum": 0, "description": "rises from fact to fact, also across restarts"}
_A_SEQ = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
_NANOSECONDS = {
    "type": "string",
    "pattern": "^[0-9]+$",
    "description": "nanoseconds since the epoch; a string, so that no reader rounds it",
}
_IPV4 = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])){3}"
_IPV6 = "([0-9a-f]{1,4}:){7}[0-9a-f]{1,4}"
_DIGITS = ":(0|[1-9][0-9]{0,3})"
_PEER = {
    "type": "string",
    "anyOf": [
        {"format": "ipv4"},
        {"format": "ipv6"},
        {"pattern": f"^{_IPV4}({_DIGITS})?$"},
        {"pattern": rf"^\[{_IPV6}\]({_DIGITS})?$"},
        {"pattern": "^[/@]"},
    ],
}
_CONTENT = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_PATTERN,
    "anyOf": [{"not": {"pattern": "^hex:"}}, {"pattern": "^hex:([0-9a-fA-F]{2})+$"}],
}
_TIME = "([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,9})?)?"
_OFFSET = "(Z|[-+]([01][0-9]|2[0-3]):[0-5][0-9])?"
_MOMENT = {
    "type": "string",
    "anyOf": [
        {"pattern": "^[0-9]{1,19}$"},
        {"pattern": "^[0-9]{1,10}[smhd]$"},
        {"pattern": f"^[12][0-9]{{3}}-(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])(T{_TIME}{_OFFSET})?$"},
    ],
}
_PORT = {"type": ["integer", "null"], "minimum": 0, "maximum": 65_535}


def description(version: str) -> dict[str, Any]:
    """
    The whole description.

    @param version: netsvc's.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "netsvc",
            "version": version,
            "license": {"name": "MIT", "identifier": "MIT"},
            "description": "What arrived, when and from whom; see docs/web.md. Beyond loopback every path "
            "but /healthz and /readyz needs the token.",
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"bearer": []}, {"query": []}],
        "paths": _paths(),
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "query": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "token",
                    "description": "becomes a cookie; the answer leads to the same URL without it",
                },
            },
        },
    }


def _paths() -> dict[str, Any]:
    return {
        "/api/facts": {
            "get": _operation(
                "facts",
                "Facts of the timeline that fit every filter given",
                {
                    "200": {
                        "description": "the facts; as NDJSON one a line, and the rest in the head",
                        "headers": _page_headers(),
                        "content": {
                            "application/json": {"schema": _ref("Facts")},
                            "application/x-ndjson": {"schema": _STRING},
                        },
                    },
                    "503": _error("there are as many watchers as there may be"),
                },
                [*_filters(), *_page(), _wait()],
            ),
            "delete": _operation(
                "forget",
                "Empty the timeline's memory; the journal keeps what it has",
                {"200": _json(_object({"deleted": _COUNT}), "how many facts were there")},
            ),
        },
        "/api/wait": {
            "get": _operation(
                "wait",
                "Wait until so many facts that fit are there or have come",
                {
                    "200": _json(_ref("Found"), "they are there, oldest first"),
                    "404": _json(_ref("NotFound"), "they are not, within the time; what there was"),
                    "503": _error("there are as many watchers as there may be"),
                },
                [
                    *_filters(),
                    _after(),
                    _parameter(
                        "count",
                        "how many",
                        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 1},
                    ),
                    _parameter("timeout", "seconds", _seconds(DEFAULT_WAIT)),
                ],
            )
        },
        "/api/clients": {
            "get": _operation(
                "clients",
                "The client list",
                {
                    "200": _json(
                        _object(
                            {
                                "total": _TOTAL,
                                "clients": {"type": "object", "additionalProperties": _ref("Client")},
                            }
                        )
                    )
                },
                [_newest()],
            )
        },
        "/api/listeners": {
            "get": _operation(
                "listeners",
                "Every listener with its counters, and lines to reach it by",
                {
                    "200": _json(
                        _object(
                            {
                                "version": _STRING,
                                "started": {"type": "number", "description": "seconds since the epoch"},
                                "listeners": _array(_ref("Listener")),
                            }
                        )
                    )
                },
            )
        },
        "/api/connections": {
            "get": _operation(
                "connections",
                "The connections that are open",
                {"200": _json(_object({"connections": _array(_ref("Connection")), "total": _TOTAL}))},
                [_newest()],
            )
        },
        "/api/openapi.json": {
            "get": _operation("description", "This description", {"200": _json({"type": "object"})})
        },
        **chat_paths(),
        "/metrics": {
            "get": _operation(
                "metrics",
                "Numbers for Prometheus, in the form that Accept asks for",
                {
                    "200": {
                        "description": "the metrics",
                        "content": {
                            "text/plain": {"schema": _STRING},
                            "application/openmetrics-text": {"schema": _STRING},
                        },
                    }
                },
            )
        },
        "/healthz": {"get": _health("health", "Whether the daemon is well", "it is")},
        "/readyz": {"get": _health("ready", "Whether every listener is open", "they are")},
    }


def _health(name: str, summary: str, well: str) -> dict[str, Any]:
    operation = _operation(
        name,
        summary,
        {"200": _json(_ref("Well"), well), "503": _json(_ref("Unwell"), "it is not, or they are not")},
    )
    # Whatever the Host, and without a token.
    del operation["responses"]["303"], operation["responses"]["403"]
    return operation


# -- parameters --------------------------------------------------------------------------------------------


def _filters() -> list[dict[str, Any]]:
    number = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
    return [
        _several("service", "names of services", {"type": "string", "minLength": 1}),
        _several("listener", "URLs of listeners", {"type": "string", "minLength": 1}),
        _several(
            "peer",
            "clients: an address, address:port, [IPv6]:port, or the path of a UNIX socket",
            _PEER,
        ),
        _several("name", "clients by their names in the client list", {"type": "string", "minLength": 1}),
        _several("connection", "numbers of connections", number),
        _several("kind", "kinds of facts", {"type": "string", "enum": list(KINDS)}),
        _several(
            "contains",
            "text, or hex: and hexadecimal digits, in a connection's byte stream whichever way it was cut",
            _CONTENT,
        ),
        _parameter("since", f"the earliest time: {EXPECTED}", _MOMENT),
        _parameter("until", "the time before which they were noted, as for since", _MOMENT),
    ]


def _page() -> list[dict[str, Any]]:
    return [
        _after(),
        _parameter(
            "order", "which first", {"type": "string", "enum": ["oldest", "newest"], "default": "oldest"}
        ),
        _parameter(
            "limit",
            "how many at most",
            {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": 100},
        ),
        _parameter("before", "only facts with a lesser seq", _A_SEQ),
    ]


def _page_headers() -> dict[str, Any]:
    gap = {
        "description": "with NDJSON: as gap in JSON, where it is not null",
        "content": {"application/json": {"schema": _gap()}},
    }
    plain = {
        name: {"description": f"with NDJSON: {text}", "schema": dict(schema)}
        for name, text, schema in (
            ("Netsvc-Last", "as last in JSON", _SEQ),
            ("Netsvc-More", "as more in JSON", {"type": "boolean"}),
            ("Netsvc-Before", "as before in JSON", _SEQ),
        )
    }
    return {**plain, "Netsvc-Gap": gap}


def _newest() -> dict[str, Any]:
    return _parameter(
        "limit",
        "how many at most, the newest of them; all if not given",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT},
    )


def _after() -> dict[str, Any]:
    return _parameter(
        "after",
        "only facts with a greater seq; last: from now on",
        {"oneOf": [_A_SEQ, {"type": "string", "const": "last"}], "default": 0},
    )


def _wait() -> dict[str, Any]:
    return _parameter("wait", "seconds to wait for the first, where there is none yet", _seconds(0))


def _seconds(default: float) -> dict[str, Any]:
    return {"type": "number", "minimum": 0, "maximum": MAX_WAIT, "default": default}


def _several(name: str, text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    array = {"type": "array", "items": dict(schema), "maxItems": MAX_VALUES}
    return {**_parameter(name, f"{text}; one of those given", array), "style": "form", "explode": True}


# -- schemas -----------------------------------------------------------------------------------------------


def _schemas() -> dict[str, Any]:
    error = {"error": {"type": "string", "description": "one line, for a person"}}
    facts = {
        "facts": _array(_ref("Fact")),
        "last": {**_SEQ, "description": "give it as after to go on"},
        "more": {
            "type": "boolean",
            "description": "whether there are facts to go on to that were not looked at; a question that a "
            "journal answers looks at some of it, and may have found none although there are",
        },
        "gap": {**_gap(), "type": ["object", "null"]},
    }
    reasons = {
        "reasons": {**_array(_STRING), "description": "only for those who need no token or have shown it"}
    }
    return {
        "Error": _object(error),
        "Fact": {
            **_object(
                {
                    "seq": _SEQ,
                    "time": _NANOSECONDS,
                    "kind": {"type": "string", "enum": list(KINDS)},
                    "service": _STRING,
                    "listener": _STRING,
                    "transport": _STRING,
                    "address": _STRING,
                    "port": _PORT,
                    "local": _STRING,
                    "connection": _NULLABLE_COUNT,
                    "name": _NULLABLE_STRING,
                    "length": {**_NULLABLE_COUNT, "description": "the true number of bytes"},
                    "data": {
                        "type": ["string", "null"],
                        "contentEncoding": "base64",
                        "description": "the bytes, as many as timeline.capture keeps",
                    },
                    "reason": _NULLABLE_STRING,
                }
            ),
            "description": "what happened; opened, closed and refused have further members",
        },
        "Facts": _with(
            _object(facts),
            before={**_SEQ, "description": "with order=newest: give it as before to go on"},
        ),
        "Found": _object(facts),
        "NotFound": _object({**error, **facts}),
        "Client": _object({"name": _STRING, "address": _STRING, "port": _PORT}),
        "Listener": _object(
            {
                "service": _STRING,
                "listener": _STRING,
                "transport": _STRING,
                "address": _STRING,
                "port": _PORT,
                "max_connections": _NULLABLE_COUNT,
                **dict.fromkeys(
                    (
                        "opened",
                        "closed",
                        "open",
                        "messages_in",
                        "bytes_in",
                        "messages_out",
                        "bytes_out",
                        "dropped",
                    ),
                    _COUNT,
                ),
                "refused": {"type": "object", "additionalProperties": _COUNT},
                "lines": _array(_object({"program": _STRING, "line": _STRING})),
            }
        ),
        "Connection": _object(
            {
                "connection": _COUNT,
                "service": _STRING,
                "listener": _STRING,
                "transport": _STRING,
                "address": _STRING,
                "port": _PORT,
                "local": _STRING,
                "name": _NULLABLE_STRING,
                "opened": _NANOSECONDS,
                **dict.fromkeys(("bytes_in", "bytes_out", "messages_in", "messages_out"), _COUNT),
            }
        ),
        "Well": {**_object({"ok": {"const": True}}), "properties": {"ok": {"const": True}, **reasons}},
        "Unwell": {**_object(error), "properties": {**error, **reasons}},
    }


def _gap() -> dict[str, Any]:
    return {
        **_object({"after": _SEQ, "until": _SEQ, "facts": _NULLABLE_COUNT}),
        "description": "facts after `after` that are nowhere any more",
    }


def _with(schema: Mapping[str, Any], **properties: Mapping[str, Any]) -> dict[str, Any]:
    """The same with properties that it may have."""
    return {**schema, "properties": {**schema["properties"], **properties}}
