"""`netsvc.net.description`: endpoint descriptions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted.internet.endpoints import quoteStringArgument

from netsvc.net.description import arguments_of


def test_parts_have_the_names_that_they_are_given_or_their_own() -> None:
    found = arguments_of("unix:/run/a.sock:mode=600", "unix", "address")
    assert found == {"unix": "unix", "address": "/run/a.sock", "mode": "600"}


def test_more_parts_without_a_name_than_there_are_names_are_refused() -> None:
    with pytest.raises(ValueError, match="too many parts: 'b'"):
        arguments_of("unix:a:b", "unix", "address")


@given(st.text(min_size=1))
def test_what_twisted_quotes_comes_back(path: str) -> None:
    quoted = quoteStringArgument(path.replace("=", ""))
    if quoted:
        assert arguments_of(f"unix:{quoted}", "unix", "address")["address"] == path.replace("=", "")
