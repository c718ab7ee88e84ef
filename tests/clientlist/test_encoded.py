"""The encoded list is what json.dumps would write, however it came about and however slowly it is read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from netsvc.clientlist.encoded import BLOCK, EncodedList


def value(number: int) -> dict[str, Any]:
    return {"name": f"n{number}", "address": "192.0.2.1", "port": number}


def filled(count: int) -> EncodedList:
    encoded = EncodedList()
    for number in range(count):
        encoded.set(f"n{number}", json.dumps(value(number)))
    return encoded


def unique(data: bytes) -> dict[str, Any]:
    """Decode an object; fail where a key is there twice."""

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(found)) == len(found)
        return dict(found)

    decoded: dict[str, Any] = json.loads(data, object_pairs_hook=pairs)
    return decoded


def joined(pieces: Iterable[bytes]) -> dict[str, Any]:
    return unique(b"".join(pieces))


def test_an_empty_list_is_an_empty_object() -> None:
    assert EncodedList().whole() == b"{}"
    assert b"".join(EncodedList().pieces()) == b"{}"


def test_a_list_is_exactly_what_json_dumps_writes() -> None:
    count = 3 * BLOCK + 1
    expected = json.dumps({f"n{number}": value(number) for number in range(count)}).encode()
    encoded = filled(count)
    assert encoded.whole() == expected
    assert b"".join(encoded.pieces()) == expected


def test_the_same_bytes_are_given_until_something_changes() -> None:
    encoded = filled(3)
    first = encoded.whole()
    assert encoded.whole() is first
    encoded.set("n1", json.dumps(value(9)))
    assert unique(encoded.whole()) == {"n0": value(0), "n1": value(9), "n2": value(2)}


def test_names_in_every_script_and_with_every_sign_stay_on_one_ascii_line() -> None:
    encoded = EncodedList()
    names = ["Ζωή", "张伟", '"quoted"', "back\\slash", "\u2028", "\U0001f600", "\udcff", "\x7f\n"]
    for name in names:
        encoded.set(name, json.dumps({"name": name}))
    assert encoded.whole().isascii()
    assert len(encoded.whole().splitlines()) == 1
    assert list(unique(encoded.whole())) == names


def test_a_slow_reader_sees_what_stayed_nothing_new_and_nothing_twice() -> None:
    encoded = filled(4 * BLOCK)
    pieces = encoded.pieces()
    read = [next(pieces)]
    encoded.discard("n0")
    encoded.set("n0", json.dumps(value(0)))  # Read already; now at the end.
    encoded.discard(f"n{2 * BLOCK}")  # Not read yet.
    encoded.set(f"n{BLOCK}", json.dumps(value(-1)))  # Renewed in its place.
    encoded.set("new", json.dumps(value(1)))
    found = joined([*read, *pieces])
    assert len(found) == 4 * BLOCK - 1
    assert found["n0"] == value(0)
    assert found[f"n{BLOCK}"] == value(-1)
    assert f"n{2 * BLOCK}" not in found
    assert "new" not in found


def test_a_reader_whose_list_is_emptied_meanwhile_still_gets_an_object() -> None:
    encoded = filled(4 * BLOCK)
    pieces = encoded.pieces()
    for number in range(4 * BLOCK):
        encoded.discard(f"n{number}")
    encoded.set("new", json.dumps(value(1)))
    assert set(joined(pieces)) == {f"n{number}" for number in range(3 * BLOCK, 4 * BLOCK)}


def test_a_key_that_comes_back_after_the_last_block_went_is_not_read_twice() -> None:
    encoded = filled(2 * BLOCK + 1)
    pieces = encoded.pieces()
    read = [next(pieces)]
    encoded.discard("n0")
    encoded.discard(f"n{2 * BLOCK}")  # The last block is empty now, and the one before it has room.
    encoded.discard(f"n{BLOCK}")
    encoded.set("n0", json.dumps(value(0)))
    encoded.set(f"n{2 * BLOCK}", json.dumps(value(0)))
    joined([*read, *pieces])


_STEP = st.tuples(st.booleans(), st.integers(0, 40))


@settings(deadline=None, max_examples=150)
@given(st.lists(_STEP, max_size=120), st.lists(_STEP, max_size=60), st.integers(0, 5))
def test_any_history_gives_whole_lists(
    before: list[tuple[bool, int]], meanwhile: list[tuple[bool, int]], early: int
) -> None:
    encoded, model = EncodedList(), {}

    def step(enter: bool, number: int) -> None:
        # Every number stands for five entries, so that blocks fill and empty.
        for key in (f"{number}-{part}" for part in range(5)):
            if enter:
                encoded.set(key, json.dumps({"name": key}))
                model[key] = {"name": key}
            else:
                encoded.discard(key)
                model.pop(key, None)

    for enter, number in before:
        step(enter, number)
    assert unique(encoded.whole()) == model
    assert len(encoded) == len(model)
    at_start, stayed = set(model), set(model)
    pieces = encoded.pieces()
    read = [piece for _, piece in zip(range(early), pieces, strict=False)]
    for enter, number in meanwhile:
        step(enter, number)
        stayed &= set(model)
    found = set(joined([*read, *pieces]))
    assert stayed <= found <= at_start
    assert unique(encoded.whole()) == model


@given(st.lists(st.integers(0, 3 * BLOCK), max_size=600), st.integers(1, 4 * BLOCK))
@settings(max_examples=50)
def test_the_newest_are_the_end_of_the_list(changes: list[int], limit: int) -> None:
    encoded = filled(2 * BLOCK + 5)
    for number in changes:
        # Who is there leaves, who is not comes.
        if f'"n{number}":'.encode() in encoded.whole():
            encoded.discard(f"n{number}")
        else:
            encoded.set(f"n{number}", json.dumps(value(number)))
    assert list(unique(encoded.newest(limit)).items()) == list(unique(encoded.whole()).items())[-limit:]
