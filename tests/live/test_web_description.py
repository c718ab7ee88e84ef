"""
The API against its own description: whatever is asked, the answer is one that the description has.

schemathesis asks everything that the description allows and much that it does not, and compares each answer
with what is written there: no 5xx, no status, type or member that is not in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import jsonschema_rs
import pytest
import requests
import schemathesis
from schemathesis import GenerationMode
from schemathesis.checks import negative_data_rejection

from netsvc.web.openapi import description
from tests.live.daemon import PATIENCE, Daemon, running

pytestmark = pytest.mark.live

#: Requests of each operation; every parameter's odd values come up among them.
EXAMPLES = 40

#: Each operation, asked as it may be; and, where there is something to ask wrongly, asked so.
ASKED = [
    (method.upper(), path, mode)
    for path, item in description("")["paths"].items()
    for method, operation in item.items()
    for mode in GenerationMode
    if operation["parameters"] or mode is GenerationMode.POSITIVE
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One for all, with something to see in it."""
    directory = tmp_path_factory.mktemp("daemon")
    with running(directory, "--web", "0", "--echo", "0", "--clients", "0") as daemon:
        with daemon.connect("echo") as sock:
            sock.sendall(bytes(range(256)))
            sock.recv(256)
        with daemon.connect("clients") as sock:
            sock.sendall("\N{SNOWMAN}\n".encode())
            sock.recv(1000)
        yield daemon


@pytest.fixture(scope="module")
def document(daemon: Daemon) -> Any:
    """The description that the daemon gives, less what would have each example wait."""
    url = f"http://127.0.0.1:{daemon.port('web')}"
    document = requests.get(f"{url}/api/openapi.json", timeout=PATIENCE).json()
    for operation in (one for item in document["paths"].values() for one in item.values()):
        for parameter in operation["parameters"]:
            if parameter["name"] in ("wait", "timeout"):
                parameter["schema"]["maximum"] = 0.01
                parameter["required"] = True
    document["servers"] = [{"url": url}]
    return document


def test_the_description_is_one_of_openapi_3_1(document: Any) -> None:
    assert document["openapi"] == "3.1.0"
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})
    operations = [one for item in document["paths"].values() for one in item.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)


@pytest.mark.parametrize(("method", "path", "mode"), ASKED)
def test_every_answer_is_described(document: Any, method: str, path: str, mode: GenerationMode) -> None:
    operation = schemathesis.openapi.from_dict(document)[path][method]
    url = document["servers"][0]["url"]

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[hypothesis.HealthCheck.filter_too_much, hypothesis.HealthCheck.too_slow],
    )
    @hypothesis.given(operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        # Much of what it makes wrong is right again in a URL, where a number is a text.
        case.call_and_validate(base_url=url, excluded_checks=[negative_data_rejection])

    ask()
