"""What the user gave: files read, texts taken apart, and every error on one line with its place."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsvc.given import Given, TextValue, TypedValue, converted, did_you_mean, dotted, read_document, short
from netsvc.settings import Net, Setting, SettingError

SECONDS = Setting("it", float, 1.0, unit="seconds", minimum=0)


def test_a_document_is_read(tmp_path: Path) -> None:
    file = tmp_path / "netsvc.toml"
    file.write_text('[echo]\nlisten = "7"  # größer\n', encoding="utf-8")
    assert read_document(str(file)) == {"echo": {"listen": "7"}}


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"[net\n", "expected TOML: "),
        (b"[net]\na = 1\na = 2\n", "(at line 3, column 6)"),
        (b"[net]\n[net]\n", "(at line 2, column 5)"),
        (b"a = 1\nb = '\xff'\n", "expected UTF-8, got another byte (at line 2)"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
        (b"a = " + b"9" * 5_000, "expected TOML: "),
        (b"\x00", "expected TOML: "),
    ],
)
def test_a_file_that_is_no_document_is_refused_with_its_name_and_the_position(
    tmp_path: Path, data: bytes, complaint: str
) -> None:
    file = tmp_path / "netsvc.toml"
    file.write_bytes(data)
    with pytest.raises(SettingError) as raised:
        read_document(str(file))
    assert str(raised.value).startswith(f"{file}: ")
    assert complaint in str(raised.value)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("", "No such file"),
        ("missing.toml", "No such file"),
        (".", "Is a directory"),
        ("new\nline", "No such"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, complaint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingError, match=complaint) as raised:
        read_document(name)
    assert str(raised.value).isprintable()


@pytest.fixture(scope="session")
def some_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("given") / "some.toml"


@given(data=st.binary() | st.text(alphabet="[]{}=.,\"'#\n\\ux0af_-: \r\x7f").map(str.encode))
def test_any_bytes_are_a_document_or_refused_on_one_line(some_file: Path, data: bytes) -> None:
    some_file.write_bytes(data)
    refusal = f"{some_file}: nothing"
    try:
        assert isinstance(read_document(str(some_file)), dict)
    except SettingError as error:
        refusal = str(error)
    assert refusal.startswith(f"{some_file}: ")
    assert "\n" not in refusal


def test_a_value_of_the_command_line_takes_the_place_of_the_files() -> None:
    everything = Given("a.toml", {"net": {"shutdown_grace": 3, "ready": "a"}})
    everything.set_text("net.shutdown_grace=4.5")
    net = everything.table(("net",), Net)
    assert (net.shutdown_grace, net.ready, net.interface) == (4.5, "a", [])
    assert everything.origins() == {
        "net.shutdown_grace": "--set net.shutdown_grace",
        "net.ready": "a.toml: net.ready",
    }


@pytest.mark.parametrize(
    ("text", "path", "key", "value"),
    [
        ("limits.log_rate=5", ("limits",), "log_rate", TextValue("5", "--set limits.log_rate")),
        ("greeting.text= a=b ", ("greeting",), "text", TextValue(" a=b ", "--set greeting.text")),
        ("echo.listen=true", ("echo",), "listen", TypedValue(True, "--set echo.listen")),
        ("echo.listen=tcp:7", ("echo",), "listen", TypedValue("tcp:7", "--set echo.listen")),
        ("service.ftp.port=2121", ("service", "ftp"), "port", TextValue("2121", "--set service.ftp.port")),
        (
            'service.ftp.arguments={size = 3, name = "x"}',
            ("service", "ftp"),
            "arguments",
            TypedValue({"size": 3, "name": "x"}, "--set service.ftp.arguments"),
        ),
        ("echo.arguments=3", ("echo",), "arguments", TextValue("3", "--set echo.arguments")),
    ],
)
def test_a_set_is_taken_apart(text: str, path: tuple[str, ...], key: str, value: Any) -> None:
    everything = Given("", {})
    everything.set_text(text)
    assert everything.tables == {path: {key: value}}
    assert everything.place(path) == f"--set: {'.'.join(path)}"


@pytest.mark.parametrize(
    "text", ["", "limits", "limits.log_rate", "log_rate=5", "a.b.c=5", "service.ftp=5", "limits.=5", "=5"]
)
def test_a_set_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"expected table\.key=value or service\.NAME\.key=value"):
        Given("", {}).set_text(text)


@pytest.mark.parametrize("text", ["", "{", "{a = 1} b", "text"])
def test_arguments_that_are_no_toml_are_refused(text: str) -> None:
    with pytest.raises(SettingError, match=r"^--set service\.ftp\.arguments: expected an inline table"):
        Given("", {}).set_text(f"service.ftp.arguments={text}")


@pytest.mark.parametrize(
    ("document", "complaint"),
    [
        ({"net": 3}, r"a\.toml: net: expected a table \[net\]"),
        ({"net": [{"interface": []}]}, r"a\.toml: net: expected a table \[net\]"),
        ({"service": "echo"}, r"a\.toml: service: expected a table \[service\]"),
        ({"service": {"ftp": "x.Y"}}, r"a\.toml: service\.ftp: expected a table \[service\.ftp\]"),
        ({"new\nline": 3}, r'a\.toml: "new\\nline": expected a table'),
    ],
)
def test_what_is_no_table_is_refused(document: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SettingError, match=f"^{complaint}"):
        Given("a.toml", document)


def test_an_empty_table_counts_as_one() -> None:
    everything = Given("a.toml", {"echo": {}})
    assert everything.place(("echo",)) == "a.toml: echo"
    assert everything.row(("echo",)) == {} == everything.row(("no-such-table",))


def test_a_quoted_name_with_a_dot_is_no_table_of_service() -> None:
    everything = Given("a.toml", {"service.ftp": {"a": 1}, "service": {"ftp": {"a": 2}}})
    assert list(everything.tables) == [("service.ftp",), ("service", "ftp")]
    assert list(everything.origins()) == ['"service.ftp".a', "service.ftp.a"]


@pytest.mark.parametrize(
    ("value", "got"),
    [
        (TypedValue("soon", "x"), "'soon'"),
        (TypedValue(-1, "x"), "-1"),
        (TypedValue(math.inf, "x"), "inf"),
        (TypedValue(math.nan, "x"), "nan"),
        (TypedValue(10**400, "x"), "1000"),
        (TypedValue(10**5000, "x"), "a very large number"),
        (TextValue("inf", "x"), "'inf'"),
        (TextValue("", "x"), "''"),
        (TextValue("a\nb" * 1000, "x"), r"'a\nba"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_its_place_and_what_was_expected(
    value: TypedValue | TextValue, got: str
) -> None:
    with pytest.raises(SettingError) as raised:
        converted(value, SECONDS)
    assert str(raised.value).startswith(f"x: expected a number of seconds from 0; got {got}")
    assert len(str(raised.value)) < 120


def test_the_likeliest_word_is_proposed_and_none_that_is_unlike() -> None:
    assert did_you_mean("idle_timout", ["log_rate", "idle_timeout"]) == "; did you mean idle_timeout?"
    assert did_you_mean("xyz", ["log_rate", "idle_timeout"]) == ""


def test_keys_are_shown_as_toml_writes_them() -> None:
    assert dotted(("service", "a-b_1", "a b", "", 'x"\n')) == 'service.a-b_1."a b"."".' + r'"x\"\n"'


def test_a_long_value_is_cut() -> None:
    assert len(short("x" * 1000)) < 40
    assert short([10**5000]) == "a very large number"
