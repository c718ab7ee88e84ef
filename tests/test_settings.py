"""The definitions of settings: what they take, what they refuse, and how they say so."""

from __future__ import annotations

import ipaddress
import tomllib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsvc.annotate import toml_value
from netsvc.service import NetService
from netsvc.settings import RESERVED, TABLES, Limits, Net, Networks, Setting, defaults, setting, settings_of

_TEXTS = st.text(st.characters(codec="utf-8"))
_NETWORKS = st.lists(st.ip_addresses().map(str)).map(lambda texts: Networks.of(*texts))

#: For each type of setting a default, and values that a setting of that type has.
_TYPES: dict[type, tuple[Any, st.SearchStrategy[Any]]] = {
    bool: (False, st.booleans()),
    int: (0, st.integers()),
    float: (0.0, st.floats(allow_nan=False, allow_infinity=False)),
    str: ("", _TEXTS),
    list: ([], st.lists(_TEXTS)),
    Networks: (Networks(), _NETWORKS),
}

_SETTINGS_WITH_VALUES = st.sampled_from(list(_TYPES)).flatmap(
    lambda kind: st.tuples(st.just(Setting("it", kind, _TYPES[kind][0])), _TYPES[kind][1])
)

#: What can stand behind a key in a TOML document, and some things that cannot.
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXTS | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)


@given(_SETTINGS_WITH_VALUES)
def test_what_toml_says_of_a_value_is_read_as_that_value(case: tuple[Setting, Any]) -> None:
    one, value = case
    assert one.read(tomllib.loads(f"it = {toml_value(value)}")["it"]) == value


@given(_SETTINGS_WITH_VALUES.filter(lambda case: case[0].type not in (list, Networks)))
def test_what_the_command_line_says_of_a_value_is_parsed_as_that_value(case: tuple[Setting, Any]) -> None:
    one, value = case
    text = value if isinstance(value, str) else toml_value(value)
    assert one.parse(text) == value


def test_a_list_on_the_command_line_is_separated_by_commas() -> None:
    assert Setting("it", list, []).parse("::1, 127.0.0.1,") == ["::1", "127.0.0.1"]
    assert Setting("it", list, []).parse("") == []
    assert Setting("it", Networks, Networks()).parse("10.0.0.0/8,::1").texts() == ["10.0.0.0/8", "::1/128"]


@given(st.sampled_from(list(_TYPES)), _ANYTHING)
def test_any_value_is_taken_in_the_right_type_or_refused_by_what_was_expected(kind: type, value: Any) -> None:
    one = Setting("it", kind, _TYPES[kind][0])
    _taken_or_refused(one, lambda: one.read(value))


@given(st.sampled_from(list(_TYPES)), _TEXTS)
def test_any_text_is_taken_in_the_right_type_or_refused_by_what_was_expected(kind: type, text: str) -> None:
    one = Setting("it", kind, _TYPES[kind][0])
    _taken_or_refused(one, lambda: one.parse(text))


def _taken_or_refused(one: Setting, take: Callable[[], Any]) -> None:
    refusal = ""
    try:
        taken = take()
    except ValueError as error:
        refusal = str(error)
    assert refusal.startswith(f"expected {one.expected}") if refusal else type(taken) is one.type


@pytest.mark.parametrize(
    ("one", "wrong", "expected"),
    [
        (Setting("it", int, 1, unit="bytes", minimum=1, maximum=9), 0, "a whole number of bytes from 1 to 9"),
        (Setting("it", int, 1, minimum=1), True, "a whole number from 1"),
        (Setting("it", int, 0, minimum=0, least=5), 4, "a whole number from 5, or 0"),
        (Setting("it", int, 0, minimum=0, least=5), -1, "a whole number from 5, or 0"),
        (Setting("it", int, 1, maximum=9), 10, "a whole number up to 9"),
        (Setting("it", int, 1), 1.0, "a whole number"),
        (Setting("it", float, 1.0, unit="seconds", minimum=0), -0.5, "a number of seconds from 0"),
        (Setting("it", float, 1.0), float("nan"), "a number"),
        (Setting("it", bool, True), 1, "true or false"),
        (Setting("it", str, "a", choices=("a", "b")), "c", "one of a, b"),
        (Setting("it", list, []), "a", "a list of texts"),
        (Setting("it", list, []), [1], "a list of texts"),
        (Setting("it", Networks, Networks()), ["10.0.0.0/99"], "a list of networks such as 192.0.2.0/24"),
    ],
)
def test_a_refusal_says_what_was_expected(one: Setting, wrong: object, expected: str) -> None:
    with pytest.raises(ValueError, match=r"^expected") as raised:
        one.read(wrong)
    assert str(raised.value).startswith(f"expected {expected}")


def test_a_whole_number_too_large_for_a_float_is_still_one() -> None:
    huge = 10**400
    assert Setting("it", int, 1, minimum=1).read(huge) == huge
    assert Setting("it", int, 1).parse(str(huge)) == huge
    with pytest.raises(ValueError, match="^expected a whole number up to 9$"):
        Setting("it", int, 1, maximum=9).read(huge)
    with pytest.raises(ValueError, match="^expected a number$"):
        Setting("it", float, 1.0).read(huge)


def test_no_more_peers_are_remembered_than_a_cache_can_count() -> None:
    (tracked,) = [one for one in settings_of(Limits) if one.name == "tracked_peers"]
    with pytest.raises(ValueError, match="to 10000000$"):
        tracked.read(2**63)


def test_a_whole_number_does_where_a_number_is_expected() -> None:
    taken = Setting("it", float, 1.0).read(2)
    assert (taken, type(taken)) == (2.0, float)


@pytest.mark.parametrize(
    ("name", "kind", "default", "more"),
    [
        ("no-identifier", str, "", {}),
        ("it", dict, {}, {}),
        ("it", int, "1", {}),
        ("it", int, 0, {"minimum": 1}),
        ("it", str, "c", {"choices": ("a", "b")}),
    ],
)
def test_a_definition_that_contradicts_itself_cannot_be_made(
    name: str, kind: type, default: object, more: dict[str, Any]
) -> None:
    with pytest.raises(ValueError):
        Setting(name, kind, default, **more)


def test_networks_contain_addresses_and_accept_host_bits() -> None:
    networks = Networks.of("192.0.2.77/24", "2001:db8::/32")
    assert ipaddress.ip_address("192.0.2.1") in networks
    assert ipaddress.ip_address("2001:db8::1") in networks
    assert ipaddress.ip_address("192.0.3.1") not in networks
    assert networks.texts() == ["192.0.2.0/24", "2001:db8::/32"]
    assert networks
    assert not Networks()


@pytest.mark.parametrize("table", TABLES.values())
def test_every_setting_of_a_table_says_why_it_is_there_and_in_which_unit(table: type) -> None:
    for one in settings_of(table):
        assert one.reason
        assert one.unit or one.type not in (int, float)


@pytest.mark.parametrize("table", TABLES.values())
def test_a_table_made_of_nothing_has_the_defaults_that_its_definitions_have(table: type) -> None:
    made = table()
    assert {one.name: getattr(made, one.name) for one in settings_of(table)} == defaults(settings_of(table))


def test_two_tables_do_not_share_a_list() -> None:
    assert Net().interface is not Net().interface


def test_the_fields_that_setting_makes_are_the_definitions() -> None:
    found = {one.name: one for one in settings_of(Limits)}["idle_timeout"]
    assert (found.type, found.default, found.unit, found.minimum) == (float, 900.0, "seconds", 0)
    assert setting(1, reason="it").metadata["reason"] == "it"


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_no_service_takes_the_name_of_a_table(name: str) -> None:
    with pytest.raises(ValueError, match="reserved"):
        NetService(name, "", stream="a.B")
