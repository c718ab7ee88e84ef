"""The command line: what it says becomes a configuration, and what is wrong with it becomes one line."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twisted import __version__ as twisted_version
from twisted.logger import capturedLogs, formatEvent
from twisted.python import usage

from netsvc import __version__
from netsvc.configuration import CommandLine
from netsvc.options import Options
from netsvc.registry import Registry, discover
from netsvc.service import NetService
from netsvc.settings import SettingError

BUILT_IN = discover()
REGISTRY = Registry(
    {
        **BUILT_IN.services,
        "shoutcast": NetService("shoutcast", "louder", stream="a.B"),
        "two-words_name": NetService("two-words_name", "100% {odd}", port=1, stream="a.B"),
    },
    BUILT_IN.builtin,
    {"netsvc_shout": "ModuleNotFoundError: No module named 'shout'", "config": "netsvc_x names it so"},
)


def parsed(*arguments: str) -> Options:
    """The options after a command line."""
    options = Options(REGISTRY)
    options.parseOptions(arguments)
    return options


def refusal(*arguments: str) -> str:
    """The line that ends the process."""
    with pytest.raises(SystemExit) as raised:
        parsed(*arguments)
    assert isinstance(raised.value.code, str)  # Python prints it on standard error and exits with 1
    return raised.value.code


def test_an_empty_command_line_says_nothing() -> None:
    assert parsed().command_line() == CommandLine()


def test_every_option_arrives_in_its_order() -> None:
    options = parsed(
        *("--tcp", "8009", "--udp=6667", "--udp", "6668", "--echo", "7", "--echo=tcp:8", "--chat", "9"),
        *("--two-words_name", "5", "--interface", "::1", "--interface", "127.0.0.1", "--all"),
        *("--set", "limits.log_rate=5", "--set=net.ready=x", "--without", "time", "--without", "whoami"),
        *("--ready", "r", "--tls-certificate", "c", "--tls-key", "k", "--tls-client-ca", "ca"),
        *("--journal", "j"),
    )
    assert options.command_line() == CommandLine(
        listen={"echo": ("7", "tcp:8"), "chat": ("9",), "two-words_name": ("5",)},
        tcp=("8009",),
        udp=("6667", "6668"),
        interface=("::1", "127.0.0.1"),
        set=("limits.log_rate=5", "net.ready=x"),
        all=True,
        without=("time", "whoami"),
        ready="r",
        tls_certificate="c",
        tls_key="k",
        tls_client_ca="ca",
        journal="j",
    )


def test_the_names_of_inherited_sockets_are_found_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [["echo", "chat"], ["late"]]
    monkeypatch.setattr("netsvc.options.inherited_names", lambda: names.pop(0))
    assert parsed("--all").command_line().inherited is None
    options = parsed("--inherited")
    assert options.command_line().inherited == ("echo", "chat")
    assert options.command_line().inherited == ("echo", "chat")


def test_each_reading_tells_what_is_not_opened_for_inherited_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netsvc.options.inherited_names", lambda: ["echo", "chat"])
    file = tmp_path / "netsvc.toml"
    file.write_text("[echo]\nlisten = [7, 'tls://:8']\n[chat]\nlisten = 'systemd://chat'\n")
    with capturedLogs() as events:
        options = parsed("--inherited", "--config", str(file))
        options.configuration()
        options.configuration()
    assert [(formatEvent(event), event["log_level"].name) for event in events] == [
        (
            f"{file}: echo.listen is opened only where it says systemd://, "
            "because --inherited gives its service sockets",
            "warn",
        )
    ] * 2


def test_two_sets_of_options_have_nothing_in_common() -> None:
    parsed("--echo", "7")
    assert parsed("--chat", "8").command_line() == CommandLine(listen={"chat": ("8",)})


def test_a_value_may_look_like_an_option() -> None:
    assert parsed("--ready", "--ecoh", "--echo", "--", "--chat", "8").command_line() == CommandLine(
        ready="--ecoh", listen={"echo": ("--",), "chat": ("8",)}
    )


def test_the_configuration_is_that_of_the_file_and_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "netsvc.toml"
    file.write_text("[echo]\nlisten = 7\n[limits]\nlog_rate = 5\n")
    configuration = parsed("--config", str(file), "--chat", "9").configuration()
    assert [one.service.name for one in configuration.services] == ["echo", "chat"]
    assert configuration.limits.log_rate == 5.0
    assert configuration.origins == {
        "echo.listen": f"{file}: echo.listen",
        "limits.log_rate": f"{file}: limits.log_rate",
    }


def test_a_configuration_that_cannot_be_used_is_a_setting_error(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"missing\.toml: cannot read it: No such file or directory"):
        parsed("--config", str(tmp_path / "missing.toml")).configuration()
    with pytest.raises(SettingError, match=r"^--set limits\.x: no such setting"):
        parsed("--set", "limits.x=1").configuration()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--ecoh", "7"), "--ecoh: no such option; did you mean --echo?"),
        (("--xyzzy",), "--xyzzy: no such option; --help lists them"),
        (
            ("--shout", "7"),
            "--shout: its plugin netsvc_shout is left out: ModuleNotFoundError: No module named",
        ),
        (("--shout=7",), "--shout: its plugin netsvc_shout is left out"),
        (("--echo",), "option --echo requires argument"),
        (("--all=yes",), "option --all must not have an argument"),
        (("-n",), "option -n not recognized"),
        (("8009",), "unexpected argument '8009'; expected options only, such as --tcp 8009"),
        (("--all", "--", "x\ny"), r"unexpected argument 'x\ny'"),
        (("--a\nb",), r"'--a\nb': no such option"),
        (("-\x1b",), r"'option -\x1b not recognized'"),
    ],
)
def test_a_command_line_that_cannot_be_used_ends_the_process_with_one_line(
    arguments: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refusal(*arguments)
    assert said.startswith(f"netsvc: {line}")
    assert said.isprintable()
    assert capsys.readouterr().out == ""


def test_the_beginning_of_an_option_is_not_taken_for_the_option() -> None:
    assert "no such option" in refusal("--shoutc", "7")
    assert "no such option" in refusal("--timest", "7")


@given(
    st.lists(st.sampled_from(["--echo", "--all", "--set", "7", "--", "-x", "--x"]) | st.text(), max_size=4)
)
def test_any_command_line_is_parsed_or_refused_on_one_line(arguments: list[str]) -> None:
    line = "nothing"
    try:
        assert isinstance(parsed(*arguments).command_line(), CommandLine)
    except SystemExit as ended:
        line = str(ended.code)
    assert line.isprintable()


def test_help_shows_each_service_with_its_port(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        parsed("--help")
    assert not raised.value.code
    shown = " ".join(capsys.readouterr().out.split())
    for name, service in REGISTRY.services.items():
        assert f"--{name}=" in shown
        assert service.summary in shown
    assert "default set; default port 8009" in shown
    assert "louder (no default port)" in shown
    assert "Left out: netsvc_shout: ModuleNotFoundError: No module named 'shout'." in shown


def test_version_tells_three(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        parsed("--version")
    assert not raised.value.code
    assert capsys.readouterr().out == (
        f"netsvc {__version__}, Twisted {twisted_version}, Python {platform.python_version()}\n"
    )


def test_the_options_are_those_of_the_installed_services_unless_told_otherwise() -> None:
    options = Options()
    assert isinstance(options, usage.Options)
    assert set(BUILT_IN.services) <= set(options.registry.services)


def test_nothing_is_looked_for_while_the_module_is_imported() -> None:
    code = "import sys, netsvc.options; sys.exit('twisted.plugins.netsvc_plugin' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


_TWISTD = ("-c", "from twisted.scripts.twistd import run; run()")


@pytest.mark.parametrize(
    "command",
    [(*_TWISTD, "-n", "--pidfile="), _TWISTD, ("-m", "twisted")],
    ids=("twistd -n", "twistd", "twist"),
)
@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--ecoh", "7"), "netsvc: --ecoh: no such option; did you mean --echo?"),
        (
            ("--set", "limits.log_rate=x"),
            "netsvc: --set limits.log_rate: expected a number of lines per second",
        ),
        (("--config", "missing.toml"), "netsvc: missing.toml: cannot read it: No such file or directory"),
        (("--without", "ecoh"), "netsvc: --without: ecoh: no such service; did you mean echo?"),
    ],
)
def test_a_daemon_that_cannot_start_says_why_on_one_line_and_leaves_nothing(
    tmp_path: Path, command: tuple[str, ...], arguments: tuple[str, ...], line: str
) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, *command, "netsvc", *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_read_anew_each_time_from_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "netsvc.toml").write_text("[echo]\nlisten = 7\n")
    options = parsed("--config", "netsvc.toml", "--set", "limits.log_rate=5")
    assert options.configuration().services[0].listen[0].where == "7"
    (tmp_path / "netsvc.toml").write_text("[echo]\nlisten = 8\n[limits]\nlog_rate = 9\n")
    # A daemon changes its directory; what the user calls the file stays what the user calls it.
    monkeypatch.chdir("/")
    again = options.configuration()
    assert (again.services[0].listen[0].where, again.limits.log_rate) == ("8", 5.0)
    assert again.services[0].listen[0].origin == "netsvc.toml: echo.listen"
    (tmp_path / "netsvc.toml").write_text("[echo")
    with pytest.raises(SettingError, match=r"^netsvc\.toml: expected TOML"):
        options.configuration()
