"""
The description of the API (OpenAPI 3.1), from the same constants as what it describes.

Every answer that there can be is in it, errors too; the tests ask everything at random and allow no other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from netsvc.facts import KINDS
from netsvc.journal.query import MAX_LIMIT, MAX_PATTERN, MAX_VALUES
from netsvc.web.timeline import DEFAULT_WAIT, MAX_WAIT

_SCHEMAS = "#/components/schemas/"

_STRING = {"type": "string"}
_NULLABLE_STRING = {"type": ["string", "null"]}
_COUNT = {"type": "integer", "minimum": 0}
_NULLABLE_COUNT = {"type": ["integer", "null"], "minimum": 0}
_SEQ = {"type": "integer", "minimum": 0, "description": "rises from fact to fact, also across restarts"}
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
                        "description": "the facts; as NDJSON one a line, and nothing else",
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
                        _object({"clients": {"type": "object", "additionalProperties": _ref("Client")}})
                    )
                },
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
                {"200": _json(_object({"connections": _array(_ref("Connection"))}))},
            )
        },
        "/api/openapi.json": {
            "get": _operation("description", "This description", {"200": _json({"type": "object"})})
        },
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


def _operation(
    name: str, summary: str, answers: Mapping[str, Any], parameters: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "parameters": parameters or [],
        "responses": {
            **answers,
            "303": {"description": "the token of the URL is a cookie now; come again without it"},
            "400": _error("the request is malformed, or a value in its query"),
            "403": _error("no token, a Host that is not known here, or a page of another origin"),
            "408": _error("the request was not complete in time"),
            "413": _error("the body is too large"),
            "431": _error("the head is too large"),
            "500": _error("a defect; the log says more"),
        },
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
    ]


def _after() -> dict[str, Any]:
    seq = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
    return _parameter(
        "after",
        "only facts with a greater seq; last: from now on",
        {"oneOf": [seq, {"type": "string", "const": "last"}], "default": 0},
    )


def _wait() -> dict[str, Any]:
    return _parameter("wait", "seconds to wait for the first, where there is none yet", _seconds(0))


def _seconds(default: float) -> dict[str, Any]:
    return {"type": "number", "minimum": 0, "maximum": MAX_WAIT, "default": default}


def _parameter(name: str, text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "description": text, "schema": dict(schema)}


def _several(name: str, text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    array = {"type": "array", "items": dict(schema), "maxItems": MAX_VALUES}
    return {**_parameter(name, f"{text}; one of those given", array), "style": "form", "explode": True}


# -- schemas -----------------------------------------------------------------------------------------------


def _schemas() -> dict[str, Any]:
    error = {"error": {"type": "string", "description": "one line, for a person"}}
    facts = {"facts": _array(_ref("Fact")), "last": {**_SEQ, "description": "give it as after to go on"}}
    reasons = {
        "reasons": {**_array(_STRING), "description": "only for those who need no token or have shown it"}
    }
    gap = {**_object({"after": _SEQ, "until": _SEQ, "facts": _NULLABLE_COUNT}), "type": ["object", "null"]}
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
        "Facts": _object(
            {**facts, "gap": {**gap, "description": "facts after `after` that are in memory no more"}}
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


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    """An object that has all of these, and perhaps more one day."""
    return {"type": "object", "properties": dict(properties), "required": list(properties)}


def _array(items: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(items)}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _SCHEMAS + name}


def _json(schema: Mapping[str, Any], text: str = "what was asked for") -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": dict(schema)}}}


def _error(text: str) -> dict[str, Any]:
    return _json(_ref("Error"), text)
