"""The length that an answer may have."""

from __future__ import annotations

import pytest

from netsvc.services.budget import reply_budget


@pytest.mark.parametrize(("request_length", "most"), [(0, 56), (1, 59), (100, 356), (1200, 3656)])
def test_answer_and_headers_are_at_most_three_times_request_and_headers(
    request_length: int, most: int
) -> None:
    assert reply_budget(request_length) == most
    assert most + 28 == 3 * (request_length + 28)
