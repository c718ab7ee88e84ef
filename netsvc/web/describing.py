"""The forms that a description of the API is made of (OpenAPI 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Where schemas with a name are.
SCHEMAS = "#/components/schemas/"


def operation(
    name: str, summary: str, answers: Mapping[str, Any], parameters: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """
    A method of a path.

    @param name: unique in the description.
    @param answers: by status; those that every request may get come by themselves.
    """
    return {
        "operationId": name,
        "summary": summary,
        "parameters": parameters or [],
        "responses": {
            **answers,
            "303": {"description": "the token of the URL is a cookie now; come again without it"},
            "400": error("the request is malformed, or a value in its query"),
            "403": error("no token, a Host that is not known here, or a page of another origin"),
            "408": error("the request was not complete in time"),
            "413": error("the body is too large"),
            "431": error("the head is too large"),
            "500": error("a defect; the log says more"),
        },
    }


def parameter(name: str, text: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A key of the query."""
    return {"name": name, "in": "query", "description": text, "schema": dict(schema)}


def object_of(properties: Mapping[str, Any]) -> dict[str, Any]:
    """An object that has all of these, and perhaps more one day."""
    return {"type": "object", "properties": dict(properties), "required": list(properties)}


def array_of(items: Mapping[str, Any]) -> dict[str, Any]:
    """An array of things of one form."""
    return {"type": "array", "items": dict(items)}


def ref(name: str) -> dict[str, str]:
    """A schema by its name."""
    return {"$ref": SCHEMAS + name}


def json_of(schema: Mapping[str, Any], text: str = "what was asked for") -> dict[str, Any]:
    """An answer that is JSON."""
    return {"description": text, "content": {"application/json": {"schema": dict(schema)}}}


def error(text: str) -> dict[str, Any]:
    """An answer that says what is wrong."""
    return json_of(ref("Error"), text)
