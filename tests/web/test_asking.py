"""What a request asks: whatever it says, it is answered or told what is wrong with it."""

from __future__ import annotations

import pytest

from netsvc.web.asking import seconds
from tests.web.siterig import Rig


@pytest.mark.parametrize(
    ("accept", "lines"),
    [
        ("application/x-ndjson", True),
        ("application/jsonl;q=0.5, application/json;q=0.4", True),
        ("application/x-ndjson;q=0.1, application/json", False),
        ("application/x-ndjson;q=much", False),
        ("*/*", False),
        # Bytes that are no UTF-8.
        ("\xff\xfe, application/x-ndjson", True),
        ("application/json;\xff", False),
    ],
)
def test_a_client_has_the_form_that_it_would_rather_have(accept: str, lines: bool) -> None:
    answer = Rig().ask("/api/facts", accept=accept)
    assert answer.status == 200
    assert answer.headers["content-type"] == ("application/x-ndjson" if lines else "application/json")


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0.0), ("1.", 1.0), (".5", 0.5), ("1e1", 10.0), ("2.5E-1", 0.25)]
)
def test_seconds_are_a_number_of_json_or_nearly(text: str, value: float) -> None:
    assert seconds({"timeout": [text]}, "timeout", 7.0, 300.0) == value


@pytest.mark.parametrize(
    "text", ["", "-1", "1_0", " 1", "nan", "inf", "\u0661", "0x1", "1e400", "301", "9" * 5000]
)
def test_what_is_no_time_that_may_be_waited_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="^timeout=.*: expected seconds from 0 to 300$"):
        seconds({"timeout": [text]}, "timeout", 7.0, 300.0)
