"""
What the user gave, in the file and on the command line: values in tables, each with the place it comes from.

Nothing here knows which tables and keys there are. That is `netsvc.configuration`'s to say, which takes the
values out again by their definitions; the place makes its error messages of use.
"""

from __future__ import annotations

import difflib
import json
import re
import reprlib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from netsvc.settings import Setting, SettingError, settings_of

#: Where a table is: ``(NAME,)``, or ``("service", NAME)`` for a service that the configuration makes.
Path = tuple[str, ...]

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")
_Table = TypeVar("_Table")


def read_document(file: str, called: str | None = None) -> dict[str, Any]:
    """
    Read a configuration file.

    @param file: its path.
    @param called: what the user calls it, for errors; None is its path.
    @return: the TOML document.
    @raise SettingError: it cannot be read, or is no TOML; the text names the file and the position.
    """
    name = shown(file if called is None else called)
    try:
        with open(file, "rb") as opened:
            data = opened.read()
    except OSError as error:
        raise SettingError(f"{name}: cannot read it: {error.strerror or error}") from None
    try:
        return tomllib.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SettingError(f"{name}: expected UTF-8, got another byte (at line {line})") from None
    except ValueError as error:
        raise SettingError(f"{name}: expected TOML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise SettingError(f"{name}: expected TOML: brackets nested too deeply") from None


@dataclass(frozen=True)
class TypedValue:
    """
    A value that has one of TOML's types.

    @ivar value: it.
    @ivar origin: what the user would change: ``/etc/netsvc.toml: limits.idle_timeout``, ``--interface``.
    """

    value: object
    origin: str

    def convert(self, setting: Setting) -> Any:
        """The value in the setting's type; ValueError where it does not fit."""
        return setting.read(self.value)


@dataclass(frozen=True)
class TextValue:
    """A value that is a text of the command line, whatever it stands for; otherwise as `TypedValue`."""

    value: str
    origin: str

    def convert(self, setting: Setting) -> Any:
        """The value in the setting's type; ValueError where it does not fit."""
        return setting.parse(self.value)


Value = TypedValue | TextValue


def converted(given: Value, setting: Setting) -> Any:
    """
    A value in its setting's type.

    @raise SettingError: it does not fit.
    """
    try:
        return given.convert(setting)
    except ValueError as error:
        raise SettingError(f"{given.origin}: {error}; got {short(given.value)}") from None


class Given:
    """
    All that was given.

    @ivar tables: the values by table and key.
    @ivar places: for each table where the user would find it: the file's name or ``--set``.
    """

    def __init__(self, file: str, document: Mapping[str, Any]) -> None:
        """
        @param file: the configuration file's name.
        @param document: what is in it.
        @raise SettingError: something that is no table stands where only tables do.
        """
        self.tables: dict[Path, dict[str, Value]] = {}
        self.places: dict[Path, str] = {}
        self._file = shown(file)
        for name, value in document.items():
            if name != "service":
                self._add_table((name,), value)
                continue
            for inner, table in self._checked_table(("service",), value).items():
                self._add_table(("service", inner), table)

    def set(self, path: Path, key: str, value: Value, place: str = "--set") -> None:
        """Give a value, in the place of one that was given before."""
        self.places.setdefault(path, place)
        self.tables.setdefault(path, {})[key] = value

    def set_text(self, text: str) -> None:
        """
        Give what a ``--set`` says.

        @param text: ``table.key=value`` or ``service.NAME.key=value``.
        @raise SettingError: it has another form.
        """
        name, equals, value = text.partition("=")
        *path, key = name.strip().split(".")
        if not equals or not key or len(path) != (2 if path[:1] == ["service"] else 1):
            raise SettingError(f"--set {text!r}: expected table.key=value or service.NAME.key=value")
        origin = f"--set {dotted((*path, key))}"
        self.set(tuple(path), key, _value_of_text(path[0], key, value, origin))

    def row(self, path: Path) -> Mapping[str, Value]:
        """The values of a table; empty where there is no such table."""
        return self.tables.get(path, {})

    def value(self, path: Path, setting: Setting) -> Any:
        """
        The value of a setting: what was given, or its default.

        @raise SettingError: what was given does not fit.
        """
        given = self.row(path).get(setting.name)
        return setting.default if given is None else converted(given, setting)

    def table(self, path: Path, table: type[_Table]) -> _Table:
        """
        A whole table, as the dataclass that defines it.

        @raise SettingError: a value does not fit.
        """
        return table(**{one.name: self.value(path, one) for one in settings_of(table)})

    def place(self, path: Path) -> str:
        """The beginning of an error message about a table as a whole."""
        return f"{self.places[path]}: {dotted(path)}"

    def origins(self) -> dict[str, str]:
        """Of every value its origin, by ``table.key``."""
        return {
            dotted((*path, key)): value.origin
            for path, row in self.tables.items()
            for key, value in row.items()
        }

    def _add_table(self, path: Path, value: object) -> None:
        self.places[path] = self._file
        row = self.tables[path] = {}
        for key, one in self._checked_table(path, value).items():
            row[key] = TypedValue(one, f"{self._file}: {dotted((*path, key))}")

    def _checked_table(self, path: Path, value: object) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise SettingError(f"{self._file}: {dotted(path)}: expected a table [{dotted(path)}]")
        return value


def _value_of_text(table: str, key: str, text: str, origin: str) -> Value:
    """The value of a ``--set``: a text, but for the two keys that no `Setting` defines."""
    if key == "listen":
        return TypedValue(True if text == "true" else text, origin)
    if table == "service" and key == "arguments":
        try:
            return TypedValue(tomllib.loads(f"it = {text}")["it"], origin)
        except (ValueError, RecursionError):
            raise SettingError(f"{origin}: expected an inline table of TOML such as {{size = 3}}") from None
    return TextValue(text, origin)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error message about an unknown word: the known one that is most like it, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""


def dotted(path: Iterable[str]) -> str:
    """A key with its tables, as TOML writes it."""
    return ".".join(key if _PLAIN_KEY.match(key) else json.dumps(key) for key in path)


def shown(text: str) -> str:
    """A text of the user's on one line, without anything that would act on a terminal."""
    return text if text.isprintable() else repr(text)


def short(value: object) -> str:
    """A value as Python writes it, cut to a length that a line of text can bear."""
    try:
        return reprlib.repr(value)
    except ValueError:
        # Python writes no number of more than 4,300 digits.
        return "a very large number"
