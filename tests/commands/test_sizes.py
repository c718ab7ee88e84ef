"""Numbers of bytes, given and shown."""

from __future__ import annotations

import click
import pytest

from netsvc.commands.sizes import SizeType, shown_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("500000", 500_000),
        ("12b", 12),
        ("2k", 2048),
        ("500M", 500 * 1024**2),
        ("1.5 GiB", 3 * 1024**3 // 2),
        ("1GB", 10**9),
        ("3tb", 3 * 10**12),
    ],
)
def test_a_size_is_read_in_the_units_that_people_write(text: str, size: int) -> None:
    assert SizeType().convert(text, None, None) == size


@pytest.mark.parametrize("text", ["", "0", "0.4", "-1", "M", "1 2", "1e9", "5X", "½M", "9" * 15 + "T"])
def test_what_is_no_size_is_wrong_usage(text: str) -> None:
    with pytest.raises(click.BadParameter, match="expected a number of bytes, such as"):
        SizeType().convert(text, None, None)


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (999_940, "999.9 kB"),
        (999_960, "1.0 MB"),
        (12_345_678, "12.3 MB"),
        (10**9, "1.0 GB"),
        (5 * 10**15, "5,000.0 TB"),
    ],
)
def test_a_size_is_shown_in_few_digits(size: int, shown: str) -> None:
    assert shown_size(size) == shown
