"""Numbers of bytes, as a user gives them and as they are shown."""

from __future__ import annotations

import re

import click

#: What stands behind a number: the letter alone is what `du` and `ls` mean by it.
_UNITS = {"": 1, "b": 1}
for _power, _letter in enumerate("kmgt", 1):
    _UNITS |= {_letter: 1024**_power, f"{_letter}ib": 1024**_power, f"{_letter}b": 1000**_power}

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([a-z]*)", re.IGNORECASE | re.ASCII)


class SizeType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.5, and 8.3 will do
    """The type of a number of bytes, at least one: ``500000``, ``500M``, ``1.5 GiB``, ``1GB``."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """See `click.ParamType`."""
        if isinstance(value, int):
            return value
        found = _SIZE.fullmatch(str(value))
        unit = _UNITS.get(found[2].lower()) if found else None
        size = int(float(found[1]) * unit) if found and unit else 0
        if not 1 <= size < 1 << 63:
            self.fail(f"{value!r}: expected a number of bytes, such as 500000, 500M or 1.5GiB", param, ctx)
        return size


def shown_size(size: int) -> str:
    """A number of bytes in three or four digits: ``987 bytes``, ``12.3 MB``."""
    if size < 1000:
        return f"{size} bytes"
    number = float(size)
    for unit in ("kB", "MB", "GB"):
        number /= 1000
        if number < 999.95:
            return f"{number:.1f} {unit}"
    return f"{number / 1000:,.1f} TB"
