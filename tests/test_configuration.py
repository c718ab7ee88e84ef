"""From file and command line to one value: precedence, which services start, and every refusal."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsvc.configuration import (
    DEFAULT_SERVICES,
    SERVICE_SETTINGS,
    CommandLine,
    Configuration,
    Listen,
    configuration_of,
)
from netsvc.registry import Registry, discover
from netsvc.service import NetService, Setting
from netsvc.settings import TABLES, Limits, Networks, SettingError, settings_of

BUILT_IN = discover()
SHOUT = NetService(
    "shout",
    "Answers in capitals",
    stream="shout.ShoutFactory",
    settings=[Setting("times", int, 1, unit="repeats", reason="how often it shouts", minimum=1)],
    limits={"idle_timeout": 5, "deny": ["192.0.2.0/24"]},
)
REGISTRY = Registry(
    {**BUILT_IN.services, "shout": SHOUT},
    BUILT_IN.builtin,
    {"netsvc_whisper": "ModuleNotFoundError: No module named 'whisper'", "config": "it is an option"},
)


def configured(text: str = "", **command_line: Any) -> Configuration:
    """The configuration that a file and a command line make."""
    return configuration_of(CommandLine(**command_line), REGISTRY, tomllib.loads(text), "a.toml")


def places(configuration: Configuration) -> dict[str, list[str]]:
    """Where each service listens."""
    return {one.service.name: [each.where for each in one.listen] for one in configuration.services}


def limits_of(configuration: Configuration, name: str) -> Limits:
    return next(one.limits for one in configuration.services if one.service.name == name)


# -- which services start, and where ----------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "[limits]\nlog_rate = 5", "[echo]\ndisconnect = 'x'"])
def test_the_default_set_starts_when_nobody_names_a_service(text: str) -> None:
    ports = {"timestamp": ["8009"], "receiver": ["6667"], "clients": ["5000"], "web": ["8080"]}
    assert places(configured(text)) == ports
    assert tuple(places(configured(text))) == DEFAULT_SERVICES


def test_nothing_but_what_is_named_starts() -> None:
    assert places(configured(tcp=("8009",), udp=("6667",))) == {"timestamp": ["8009"], "receiver": ["6667"]}
    assert places(configured("[echo]\nlisten = true")) == {"echo": ["50000"]}


def test_tcp_and_udp_are_restricted_to_one_transport() -> None:
    timestamp, receiver = configured(tcp=("8009",), udp=("6667", "6668")).services
    assert timestamp.listen == (Listen("8009", "--tcp", frozenset({"stream"})),)
    assert receiver.listen == (
        Listen("6667", "--udp", frozenset({"datagram"})),
        Listen("6668", "--udp", frozenset({"datagram"})),
    )


def test_a_service_has_all_its_transports_unless_restricted() -> None:
    (echo,) = configured(listen={"echo": ("7",)}).services
    assert echo.listen == (Listen("7", "--echo", frozenset({"stream", "datagram"})),)


def test_the_options_of_one_service_add_up() -> None:
    assert places(configured(listen={"timestamp": ("1", "2")}, tcp=("3",))) == {"timestamp": ["1", "2", "3"]}


@pytest.mark.parametrize(
    ("listen", "wheres"),
    [
        ("true", ["50000"]),
        ('"7"', ["7"]),
        ("7", ["7"]),
        ("0", ["0"]),
        ('["7", 8, "tcp://:9?backlog=5"]', ["7", "8", "tcp://:9?backlog=5"]),
    ],
)
def test_listen_is_a_where_a_list_or_true(listen: str, wheres: list[str]) -> None:
    configuration = configured(f"[echo]\nlisten = {listen}")
    assert places(configuration) == {"echo": wheres}
    assert {each.origin for each in configuration.services[0].listen} == {"a.toml: echo.listen"}


@pytest.mark.parametrize(
    "listen", ["false", "-1", "65536", "7.5", "[true]", "[[7]]", "{a = 1}", "1979-05-27"]
)
def test_anything_else_for_listen_is_refused(listen: str) -> None:
    with pytest.raises(
        SettingError, match=r"^a\.toml: echo\.listen: expected a WHERE, a list of them, or true"
    ):
        configured(f"[echo]\nlisten = {listen}")


def test_the_command_line_replaces_the_listen_of_its_service_and_the_files_others_stay() -> None:
    text = "[echo]\nlisten = 7\n[chat]\nlisten = true\n[greeting]\ntext = 'Hi'"
    assert places(configured(text, listen={"echo": ("8",)})) == {"echo": ["8"], "chat": ["5222"]}
    assert places(configured(text, set=("echo.listen=9",))) == {"echo": ["9"], "chat": ["5222"]}
    assert places(configured(text, set=("echo.listen=true",), listen={"echo": ("8",)}))["echo"] == ["8"]
    assert places(configured("[timestamp]\nlisten = 1", tcp=("2",))) == {"timestamp": ["2"]}


#: The canvas has none: it is there wherever the web service is.
WITH_PORTS = [name for name in REGISTRY.builtin if name != "canvas"]


def test_all_starts_every_built_in_service_at_its_default_port_or_at_a_place_of_its_own() -> None:
    everything = places(configured("[echo]\nlisten = 7", all=True, listen={"shout": ("1",), "chat": ("2",)}))
    assert list(everything) == [*WITH_PORTS, "shout"]
    assert everything["echo"] == ["7"]
    assert everything["chat"] == ["2"]
    assert everything["time"] == ["9037"]


def test_all_leaves_out_what_installed_plugins_and_empty_lists_do_not_ask_for() -> None:
    assert list(places(configured("[echo]\nlisten = []", all=True))) == [
        name for name in WITH_PORTS if name != "echo"
    ]


def test_without_takes_away_from_whatever_would_start() -> None:
    assert list(places(configured(without=("clients",)))) == ["timestamp", "receiver", "web"]
    assert "echo" not in places(configured(all=True, without=("echo",)))
    assert list(places(configured("[echo]\nlisten=7\n[chat]\nlisten=8", without=("echo",)))) == ["chat"]
    assert list(places(configured(listen={"echo": ("7",), "chat": ("8",)}, without=("chat",)))) == ["echo"]
    assert list(places(configured(without=("echo",)))) == list(DEFAULT_SERVICES)


def test_what_starts_unasked_is_changed_with_its_own_option() -> None:
    assert {one.service.name: one.listen[0].origin for one in configured().services} == {
        "timestamp": "--timestamp",
        "receiver": "--receiver",
        "clients": "--clients",
        "web": "--web",
    }


@pytest.mark.parametrize(
    ("text", "without"),
    [("[echo]\nlisten = []", ()), ("", DEFAULT_SERVICES), ("[echo]\nlisten=7", ("echo",))],
)
def test_a_daemon_with_nothing_to_do_is_refused(text: str, without: tuple[str, ...]) -> None:
    with pytest.raises(SettingError, match="no service is left to start"):
        configured(text, without=without)


def test_an_option_of_a_service_that_is_not_installed_is_refused() -> None:
    with pytest.raises(SettingError, match=r"^--tcp: timestamp: no such service"):
        configuration_of(CommandLine(tcp=("1",)), Registry())


# -- settings ---------------------------------------------------------------------------------------------


def test_a_service_has_every_setting_and_what_is_given_replaces_the_default() -> None:
    (timestamp,) = configured(
        "[timestamp]\nlisten = true\nstyle = 'plain'\nclock = 'ns'", set=("timestamp.clock=iso",)
    ).services
    assert timestamp.settings == {
        "framing": "chunk",
        "style": "plain",
        "data": "bytes",
        "clock": "iso",
        "max_line": 65536,
    }
    assert timestamp.arguments == {}


def test_tables_come_from_the_file_and_the_command_line_wins() -> None:
    text = """
        [net]
        interface = ["192.0.2.1"]
        ready = "file"
        shutdown_grace = 3
        [tls]
        certificate = "file.pem"
        key = "file.key"
        [timeline]
        capture = 10
        [limits]
        allow = ["192.0.2.0/24"]
    """
    configuration = configured(
        text,
        interface=("::", "127.0.0.1"),
        ready="option",
        tls_certificate="option.pem",
        tls_client_ca="ca.pem",
        set=("tls.key=set.key", "tls.certificate=set.pem", "limits.log_rate=5", "limits.log_rate=6"),
    )
    assert configuration.net.interface == ["::", "127.0.0.1"]
    assert (configuration.net.ready, configuration.net.shutdown_grace) == ("option", 3.0)
    assert configuration.tls.certificate == "option.pem"
    assert (configuration.tls.key, configuration.tls.client_ca) == ("set.key", "ca.pem")
    assert configuration.timeline.capture == 10
    assert configuration.limits.allow == Networks.of("192.0.2.0/24")
    assert configuration.limits.log_rate == 6.0
    assert configuration.origins["tls.certificate"] == "--tls-certificate"
    assert configuration.origins["tls.key"] == "--set tls.key"
    assert configuration.origins["net.shutdown_grace"] == "a.toml: net.shutdown_grace"
    assert configuration.left_out == REGISTRY.left_out


def test_limits_are_the_services_own_then_its_declarations_then_everybodys_then_the_default() -> None:
    text = """
        [limits]
        idle_timeout = 60
        log_rate = 7
        [discard]
        listen = true
        log_rate = 8
        [echo]
        listen = true
        [shout]
        listen = "1"
        idle_timeout = 6
    """
    configuration = configured(text)
    discard, echo, shout = (limits_of(configuration, name) for name in ("discard", "echo", "shout"))
    assert (discard.idle_timeout, discard.log_rate) == (0.0, 8.0)
    assert (echo.idle_timeout, echo.log_rate) == (60.0, 7.0)
    assert (shout.idle_timeout, shout.log_rate) == (6.0, 7.0)
    assert shout.deny == Networks.of("192.0.2.0/24")
    assert echo.write_timeout == Limits().write_timeout
    assert configuration.limits == dataclasses.replace(Limits(), idle_timeout=60.0, log_rate=7.0)


# -- services of the configuration's own ----------------------------------------------------------------


def test_a_service_can_be_made_of_any_factory() -> None:
    (ftp,) = configured(
        """
        [service.ftp]
        stream = "twisted.protocols.ftp.FTPFactory"
        summary = "files"
        port = 2121
        listen = true
        idle_timeout = 5
        arguments = {userAnonymous = "guest", passivePortRange = [1, 2]}
        """
    ).services
    assert (ftp.service.name, ftp.service.summary, ftp.service.port) == ("ftp", "files", 2121)
    assert ftp.service.stream == "twisted.protocols.ftp.FTPFactory"
    assert ftp.listen == (Listen("2121", "a.toml: service.ftp.listen", frozenset({"stream"})),)
    assert ftp.arguments == {"userAnonymous": "guest", "passivePortRange": [1, 2]}
    assert ftp.settings == {}
    assert ftp.limits.idle_timeout == 5.0


def test_a_service_can_be_made_on_the_command_line_alone() -> None:
    configuration = configured(
        set=(
            "service.finger.datagram=x.Finger",
            "service.finger.listen=7979",
            "service.finger.arguments={size = 3}",
            "service.finger.log_rate=1",
        )
    )
    (finger,) = configuration.services
    assert finger.listen == (Listen("7979", "--set service.finger.listen", frozenset({"datagram"})),)
    assert finger.arguments == {"size": 3}
    assert finger.limits.log_rate == 1.0


def test_such_a_service_is_known_to_without_and_may_listen_nowhere() -> None:
    text = "[service.ftp]\nstream = 'a.B'\nlisten = {}\n[echo]\nlisten = 7"
    assert list(places(configured(text.format(9), without=("ftp",)))) == ["echo"]
    assert list(places(configured(text.format("[]")))) == ["echo"]


# -- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[limits]\nidle_timout = 3",
            "a.toml: limits.idle_timout: no such setting; did you mean idle_timeout?",
        ),
        ("[net]\nxyz = 3", "a.toml: net.xyz: no such setting; expected interface, shutdown_grace, ready"),
        ("[log]\nlevel = 3", "a.toml: log.level: no such setting; expected format, file_size, files"),
        ("[echo]\nlistn = true", "a.toml: echo.listn: no such setting; did you mean listen?"),
        ("[echo]\nstyle = 'plain'", "a.toml: echo.style: no such setting; "),
        ("[ecoh]\nlisten = true", "a.toml: ecoh: no such table or service; did you mean echo?"),
        ("[wbe]\nlisten = true", "a.toml: wbe: no such table or service; did you mean web?"),
        ("[web]\nhost = ['a']", "a.toml: web.host: no such setting; did you mean hosts?"),
        ("[service.web]\nlisten = true", "a.toml: service.web: expected a new name; the installed service's"),
        ("[limit]", "a.toml: limit: no such table or service; did you mean limits?"),
        ("echo = 7", "a.toml: echo: expected a table [echo]"),
        ("[[echo]]\nlisten = 7", "a.toml: echo: expected a table [echo]"),
        (
            "[limits]\nidle_timeout = 'soon'",
            "a.toml: limits.idle_timeout: expected a number of seconds from 0; got 'soon'",
        ),
        (
            "[limits]\nmax_connections = 0",
            "a.toml: limits.max_connections: expected a whole number of connections",
        ),
        ("[limits]\nidle_timeout = inf", "a.toml: limits.idle_timeout: expected a number of seconds from 0"),
        ("[limits]\nallow = ['x']", "a.toml: limits.allow: expected a list of networks"),
        ("[net]\ninterface = '::1'", "a.toml: net.interface: expected a list of texts; got '::1'"),
        ("[echo]\nlog_rate = true", "a.toml: echo.log_rate: expected a number of lines per second"),
        (
            "[timestamp]\nstyle = 'fancy'",
            "a.toml: timestamp.style: expected one of bracket, plain; got 'fancy'",
        ),
        (
            "[shout]\nlisten = true",
            "a.toml: shout.listen: expected a WHERE, because shout has no default port",
        ),
        (
            "[whisper]",
            "a.toml: whisper: its plugin netsvc_whisper is left out: ModuleNotFoundError: No module",
        ),
        ("[config]", "a.toml: config: left out: it is an option"),
        ("[service.echo]\nstream = 'a.B'\nlisten = 7", "a.toml: service.echo: expected a new name; "),
        (
            "[service.net]\nstream = 'a.B'\nlisten = 7",
            "a.toml: service.net: service 'net': its name is reserved",
        ),
        ("[service.FTP]\nstream = 'a.B'\nlisten = 7", "a.toml: service.FTP: service 'FTP': its name must be"),
        ("[service.ftp]\nlisten = 7", "a.toml: service.ftp: service 'ftp': it has neither a stream nor"),
        ("[service.ftp]\nstream = 'a.B'", "a.toml: service.ftp.listen: missing; expected a WHERE"),
        ("[service.ftp]\nstream = 3\nlisten = 7", "a.toml: service.ftp.stream: expected a text; got 3"),
        (
            "[service.ftp]\nport = 65536\nlisten = 7",
            "a.toml: service.ftp.port: expected a whole number from 0",
        ),
        (
            "[service.ftp]\nprot = 21\nlisten = 7",
            "a.toml: service.ftp.prot: no such setting; did you mean port?",
        ),
        (
            "[service.ftp]\nstream = 'a.B'\nlisten = true",
            "a.toml: service.ftp.listen: expected a WHERE, because ftp has no default port",
        ),
        (
            "[service.ftp]\nstream = 'a.B'\nlisten = 7\narguments = [1]",
            "a.toml: service.ftp.arguments: expected a table of keyword arguments; got [1]",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_name_the_key_and_what_was_expected(
    text: str, message: str
) -> None:
    with pytest.raises(SettingError, match=f"^{re.escape(message)}") as raised:
        configured(text)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("command_line", "message"),
    [
        ({"set": ("limits.idle_timeout=soon",)}, "--set limits.idle_timeout: expected a number of seconds"),
        ({"set": ("limits.x=1",)}, "--set limits.x: no such setting"),
        ({"set": ("limit.log_rate=1",)}, "--set: limit: no such table or service; did you mean limits?"),
        ({"set": ("whisper.x=1",)}, "--set: whisper: its plugin netsvc_whisper is left out"),
        ({"set": ("x",)}, "--set 'x': expected table.key=value"),
        ({"set": ("service.ftp.stream=a.B",)}, "--set: service.ftp.listen: missing"),
        ({"without": ("ecoh",)}, "--without: ecoh: no such service; did you mean echo?"),
        ({"without": ("whisper",)}, "--without: whisper: its plugin netsvc_whisper is left out"),
        ({"without": ("a\nb",)}, '--without: "a\\nb": no such service'),
        ({"listen": {"ecoh": ("1",)}}, "--ecoh: ecoh: no such service; did you mean echo?"),
    ],
)
def test_a_command_line_that_cannot_be_used_is_refused_with_the_option(
    command_line: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingError, match=f"^{re.escape(message)}") as raised:
        configured(**command_line)
    assert str(raised.value).isprintable()


def test_what_is_wrong_in_the_table_of_a_service_that_does_not_start_is_refused_too() -> None:
    with pytest.raises(SettingError, match=r"timestamp\.style"):
        configured("[timestamp]\nstyle = 'fancy'\n[echo]\nlisten = 7")


# -- anything at all --------------------------------------------------------------------------------------

_TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
_KEYS = st.sampled_from(
    [
        *{
            one.name
            for table in (*TABLES.values(), None)
            for one in (SERVICE_SETTINGS if table is None else settings_of(table))
        },
        *{one.name for service in REGISTRY.services.values() for one in service.settings},
        "listen",
        "arguments",
    ]
)
_NAMES = st.sampled_from([*TABLES, *REGISTRY.services, "service", "web", "whisper"])
_SCALARS = (
    st.booleans()
    | st.integers()
    | st.sampled_from([0, 1, 8009, 10**400, -(10**400)])
    | st.floats()
    | _TEXTS
    | st.sampled_from(["off", "chunk", "8009", "192.0.2.0/24", "a.B"])
    | st.datetimes()
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS | _TEXTS, inner, max_size=3),
    max_leaves=5,
)
_DOCUMENTS = st.dictionaries(
    _NAMES | _TEXTS, st.dictionaries(_KEYS | _NAMES | _TEXTS, _VALUES, max_size=4) | _VALUES, max_size=4
)
_SETS = st.lists(
    st.builds("{}.{}={}".format, _NAMES | st.just("service.x"), _KEYS, _TEXTS | st.just("true")) | _TEXTS,
    max_size=2,
)


@given(_DOCUMENTS, _SETS)
def test_any_document_and_any_set_give_a_configuration_or_one_line(
    document: dict[str, Any], sets: list[str]
) -> None:
    line = "nothing"
    try:
        made = configuration_of(CommandLine(set=tuple(sets)), REGISTRY, document, "a.toml")
        assert made.services
        assert all(one.listen for one in made.services)
    except SettingError as error:
        line = str(error)
    assert line
    assert line.isprintable()


@given(
    st.sampled_from([(path, one) for path, table in TABLES.items() for one in settings_of(table)]).flatmap(
        lambda case: st.tuples(st.just(case), _VALUES)
    )
)
def test_a_value_that_is_taken_is_one_of_its_setting(case: tuple[tuple[str, Setting], Any]) -> None:
    (table, one), value = case
    try:
        made = configuration_of(CommandLine(), REGISTRY, {table: {one.name: value}}, "a.toml")
    except SettingError as error:
        assert str(error).startswith(f"a.toml: {table}.{one.name}: expected {one.expected}")  # noqa: PT017
        return
    assert type(getattr(getattr(made, table), one.name)) is one.type
