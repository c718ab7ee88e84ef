"""Discovery: what is found, what is left out and why, and that looking costs little."""

from __future__ import annotations

import importlib
import inspect
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from pathlib import Path
from types import ModuleType

import pytest

from twisted.python.reflect import namedAny

from netsvc import __version__
from netsvc.options import Options
from netsvc.registry import OWN_OPTIONS, Registry, discover
from netsvc.settings import RESERVED
from netsvc.websettings import WEB

ROOT = Path(__file__).parents[1]

STREAM, BOTH = frozenset({"stream"}), frozenset({"stream", "datagram"})

#: The table of section 3 of what netsvc promises: name, default port, transports.
PROMISED = [
    ("timestamp", 8009, STREAM),
    ("receiver", 6667, BOTH),
    ("clients", 5000, STREAM),
    ("echo", 50000, BOTH),
    ("greeting", 12345, STREAM),
    ("discard", 9009, BOTH),
    ("daytime", 9013, BOTH),
    ("chargen", 9019, BOTH),
    ("time", 9037, BOTH),
    ("whoami", 9042, BOTH),
    ("chat", 5222, STREAM),
    ("canvas", None, frozenset({"websocket"})),
    ("web", 8080, STREAM),
]

SHOUT = """
from netsvc.service import NetService, Setting
shout = NetService(name="shout", summary="Answers in capitals", port=7001,
                   stream="shout.ShoutFactory", datagram="shout.ShoutDatagram",
                   settings=[Setting("times", int, 1, unit="repeats", reason="how often it shouts")])
"""

#: A declaration of a class of its own, which only promises to be one.
FOREIGN = """
from zope.interface import implementer
from twisted.plugin import IPlugin
from netsvc.interfaces import INetService

@implementer(IPlugin, INetService)
class Declared:
    name = "foreign"
    summary = "Declared elsewhere"
    port = 7002
    stream = "foreign.Factory"
    datagram = ""
    settings = ()
    needs = ()
    shared = ""
    limits = {}
    first = ""
    log = {}
    noted = True
    websocket = ""

foreign = Declared()
"""

_names = count()

Plugins = Callable[[Mapping[str, str]], ModuleType]


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugins]:
    """Makes a package of plugin modules from their texts, to discover in this process."""

    def make(modules: Mapping[str, str]) -> ModuleType:
        name = f"plugins_of_a_test_{next(_names)}"
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        for module, text in modules.items():
            (tmp_path / name / f"{module}.py").write_text(text)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    monkeypatch.syspath_prepend(tmp_path)
    yield make
    for module in [name for name in sys.modules if name.startswith("plugins_of_a_test_")]:
        del sys.modules[module]


def declares(name: str, more: str = "") -> str:
    """The text of a module that declares a service of a name, in a variable of another."""
    return (
        "from netsvc.service import NetService\n"
        f"it = NetService(name={name!r}, summary='', port=7003, stream='a.B')\n{more}"
    )


def run(directory: Path, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run Python where the plugins of a directory are installed beside netsvc's own."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(directory), str(ROOT)))}
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A directory on Python's path that holds the plugin of shout."""
    directory = tmp_path / "twisted" / "plugins"
    directory.mkdir(parents=True)
    (directory / "netsvc_shout.py").write_text(SHOUT)
    return tmp_path


# -- netsvc's own -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own() -> Registry:
    return discover()


def test_the_built_in_services_are_those_promised_in_that_order(own: Registry) -> None:
    found = [(name, own.services[name].port, own.services[name].transports) for name in own.builtin]
    assert found == PROMISED
    assert list(own.services)[: len(PROMISED)] == list(own.builtin)


def test_a_built_in_service_comes_from_netsvc(own: Registry) -> None:
    assert own.source("echo") == f"netsvc {__version__}"


def test_there_is_no_source_of_what_there_is_not(own: Registry) -> None:
    with pytest.raises(KeyError):
        own.source("no-such-service")


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n, _, kinds in PROMISED for k in sorted(kinds)])
def test_what_is_declared_is_what_the_callable_takes(own: Registry, name: str, kind: str) -> None:
    service = own.services[name]
    given = {one.name for one in service.settings} | set(service.needs)
    if service.shared:
        given.add("shared")
        assert callable(namedAny(service.shared))
    taken = dict(inspect.signature(namedAny(getattr(service, kind))).parameters)
    if any(each.kind is each.VAR_KEYWORD for each in taken.values()):
        # It takes its settings as they are defined, all of them at once.
        assert tuple(service.settings) == WEB
        given -= {one.name for one in WEB}
        taken = {name: each for name, each in taken.items() if each.kind is not each.VAR_KEYWORD}
    assert given <= set(taken)
    for one in service.settings:
        assert one.name not in taken or taken[one.name].default == one.default, one.name
    owed = {each.name for each in taken.values() if each.default is inspect.Parameter.empty}
    assert owed <= given


@pytest.mark.parametrize("name", [name for name, _, _ in PROMISED])
def test_every_setting_says_why_it_is_there_and_every_number_its_unit(own: Registry, name: str) -> None:
    for one in own.services[name].settings:
        assert one.reason, one.name
        assert one.unit or one.type not in (int, float), one.name


def test_log_lines_read_as_promised(own: Registry) -> None:
    assert own.services["timestamp"].log["opened"] == "...connected from: {peer}"
    assert own.services["receiver"].log["received"] == "Got message from {peer}: {data}"
    assert own.services["greeting"].log["opened"] == "Got connection from {peer}"
    for service in own.services.values():
        for line in service.log.values():
            assert line.format(peer="('127.0.0.1', 1)", data="b''")


def test_every_option_that_is_no_service_is_one_that_no_service_can_take() -> None:
    options = {option.removesuffix("=") for option in Options(Registry()).longOpt}
    assert options <= OWN_OPTIONS


# -- others' ----------------------------------------------------------------------------------------------


def test_a_plugin_is_found_and_the_others_come_by_name(plugins: Plugins) -> None:
    found = discover(plugins({"a": declares("zebra"), "b": SHOUT, "c": FOREIGN}))
    assert list(found.services) == ["foreign", "shout", "zebra"]
    assert found.builtin == ()
    assert found.left_out == {}
    assert [one.name for one in found.services["shout"].settings] == ["times"]


def test_the_declaration_of_another_class_is_as_good(plugins: Plugins) -> None:
    found = discover(plugins({"c": FOREIGN})).services["foreign"]
    assert (found.summary, found.port, found.transports) == ("Declared elsewhere", 7002, STREAM)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_module_at_all", "ModuleNotFoundError: No module named 'no_such_module_at_all'"),
        ("def", "SyntaxError: invalid syntax"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise RuntimeError('two\\nlines')", "RuntimeError: two lines"),
        (declares("Shout"), "its name must be lower-case"),
        (declares("limits"), "reserved"),
        (FOREIGN.replace('    name = "foreign"\n', ""), "name attribute was not provided"),
        (FOREIGN.replace('"foreign"', "'Not A Name'"), "its name must be lower-case"),
        (FOREIGN.replace('"foreign"', "7"), "TypeError"),
        (
            FOREIGN.replace('    name = "foreign"', "    @property\n    def name(self): return 1/0"),
            "division",
        ),
    ],
)
def test_a_plugin_that_is_no_good_is_left_out_and_the_rest_is_there(
    plugins: Plugins, text: str, reason: str
) -> None:
    found = discover(plugins({"netsvc_bad": text, "netsvc_shout": SHOUT}))
    assert list(found.services) == ["shout"]
    assert list(found.left_out) == ["netsvc_bad"]
    assert reason in found.left_out["netsvc_bad"]
    assert found.left_out["netsvc_bad"].isprintable()


def test_of_two_services_of_one_name_the_built_in_one_stays(plugins: Plugins) -> None:
    found = discover(plugins({"another": declares("echo"), "netsvc_plugin": declares("echo")}))
    assert found.modules["echo"].endswith(".netsvc_plugin")
    assert found.builtin == ("echo",)
    assert "another declares it, but netsvc_plugin has that name already" in found.left_out["echo"]


def test_of_two_services_of_one_name_the_first_by_module_stays(plugins: Plugins) -> None:
    found = discover(plugins({"b": declares("shout"), "a": declares("shout"), "c": declares("shout")}))
    assert found.modules["shout"].endswith(".a")
    assert found.left_out["shout"].count("a has that name already") == 2


@pytest.mark.parametrize("name", sorted(OWN_OPTIONS - RESERVED))
def test_a_service_cannot_have_the_name_of_an_option(plugins: Plugins, name: str) -> None:
    found = discover(plugins({"netsvc_it": declares(name)}))
    assert not found.services
    assert f"--{name}" in found.left_out[name]


def test_one_declaration_under_two_names_in_its_module_is_one_service(plugins: Plugins) -> None:
    found = discover(plugins({"a": declares("shout", "again = it")}))
    assert list(found.services) == ["shout"]
    assert not found.left_out


def test_why_a_plugin_was_left_out_is_found_by_the_name_of_its_service(plugins: Plugins) -> None:
    found = discover(plugins({"netsvc_loud_shout": "raise RuntimeError('hoarse')", "b": declares("config")}))
    for name in ("netsvc_loud_shout", "loud-shout", "shout"):
        assert "RuntimeError: hoarse" in (found.why_left_out(name) or "")
    assert "as the option --config" in (found.why_left_out("config") or "")
    assert found.why_left_out("out") is None
    assert found.why_left_out("whisper") is None


# -- as it is installed -----------------------------------------------------------------------------------

_NAMES = "from netsvc.registry import discover; r = discover(); print(*r.services, *r.left_out)"


def test_what_a_distribution_installs_is_found_with_a_cache_and_without(installed: Path) -> None:
    cache = installed / "twisted" / "plugins" / "dropin.cache"
    for _ in ("no cache yet", "a cache"):
        assert run(installed, "-c", _NAMES).stdout.split()[-1] == "shout"
        assert "netsvc_shout" in pickle.loads(cache.read_bytes())


def test_it_is_found_where_no_cache_can_be_written(installed: Path) -> None:
    # A directory in its place: root may write everywhere else.
    (installed / "twisted" / "plugins" / "dropin.cache").mkdir()
    assert run(installed, "-c", _NAMES).stdout.split()[-1] == "shout"


def test_a_plugin_that_breaks_after_the_cache_was_made_is_left_out(installed: Path) -> None:
    plugin = installed / "twisted" / "plugins" / "netsvc_shout.py"
    (installed / "loud.py").touch()
    plugin.write_text(f"import loud\n{SHOUT}")
    os.utime(plugin, (1, 1))
    assert run(installed, "-c", _NAMES).stdout.split()[-1] == "shout"
    (installed / "loud.py").unlink()
    assert run(installed, "-c", _NAMES).stdout.split()[-1] == "netsvc_shout"


def test_its_source_is_its_distribution_or_else_its_module(installed: Path) -> None:
    source = "from netsvc.registry import discover; print(discover().source('shout'))"
    assert run(installed, "-c", source).stdout == "twisted.plugins.netsvc_shout\n"
    information = installed / "acme_shout-1.2.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-shout\nVersion: 1.2\n")
    (information / "RECORD").write_text("twisted/plugins/netsvc_shout.py,,\n")
    assert run(installed, "-c", source).stdout == "acme-shout 1.2\n"


_HELP = """
import sys
from twisted.scripts.twistd import run
sys.argv = ["twistd", "--help"]
try:
    run()
except SystemExit as ended:
    assert not ended.code, ended
print(*(name for name in sys.modules if name.startswith("netsvc")))
"""


@pytest.mark.parametrize("cached", [False, True])
def test_the_help_of_twistd_lists_netsvc_and_imports_none_of_its_services(
    installed: Path, cached: bool
) -> None:
    if cached:
        run(installed, "-c", _HELP)
    *help_text, imported = run(installed, "-c", _HELP).stdout.splitlines()
    assert any(line.split()[:1] == ["netsvc"] for line in help_text)
    assert set(imported.split()) <= {
        "netsvc",
        "netsvc.interfaces",
        "netsvc.service",
        "netsvc.settings",
        "netsvc.websettings",
    }


@pytest.mark.parametrize(
    "command",
    [("-m", "twisted"), ("-c", "from twisted.scripts.twistd import run; run()")],
    ids=("twist", "twistd"),
)
def test_there_is_an_option_for_each_installed_service(installed: Path, command: tuple[str, str]) -> None:
    (installed / "twisted" / "plugins" / "netsvc_bad.py").write_text(declares("config"))
    shown = run(installed, *command, "netsvc", "--help").stdout
    assert "--shout=" in shown
    assert "default port 7001" in shown
    assert "--timestamp=" in shown
    assert "Left out: config: netsvc_bad names a service as the option --config" in " ".join(shown.split())
