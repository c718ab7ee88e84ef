"""
Which room may know of which other: the imports of every file, read from its source.

An import counts wherever it stands, also inside a function and under ``TYPE_CHECKING``: who names another
room's types cannot be understood, or changed, without that room. The reactor is the one thing that Twisted
makes when it is imported, so for it it also matters when.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import resolve_name
from pathlib import Path

import pytest

TREE = Path(__file__).parent.parent
PLUGIN = TREE / "twisted" / "plugins" / "netsvc_plugin.py"
FILES = sorted((TREE / "netsvc").rglob("*.py"))

CONTRACTS = frozenset({"netsvc.interfaces", "netsvc.facts", "netsvc.settings"})

#: For each room, a package or a single module, the other rooms that it may import. Each may import itself.
RULES: dict[str, frozenset[str]] = {
    "netsvc": frozenset(),
    # What everybody may know of.
    "netsvc.interfaces": frozenset(),
    "netsvc.facts": frozenset({"netsvc.interfaces"}),
    "netsvc.settings": frozenset(),
    "netsvc.websettings": frozenset({"netsvc.settings"}),
    "netsvc.service": frozenset({"netsvc.interfaces", "netsvc.settings"}),
    # The rooms.
    "netsvc.services": frozenset({"netsvc.interfaces"}),
    "netsvc.net": CONTRACTS | {"netsvc.counters"},
    "netsvc.clientlist": CONTRACTS,
    "netsvc.journal": CONTRACTS,
    "netsvc.web": CONTRACTS
    | {"netsvc.websettings", "netsvc.journal", "netsvc.services.room", "netsvc.services.plain"},
    "netsvc.counters": frozenset(),
    "netsvc.trafficlog": CONTRACTS,
    # From what the user wrote to one checked value.
    "netsvc.given": CONTRACTS,
    "netsvc.registry": CONTRACTS | {"netsvc.service", "netsvc.__version__"},
    "netsvc.inheriting": CONTRACTS | {"netsvc.net.where"},
    "netsvc.configuration": CONTRACTS
    | {"netsvc.service", "netsvc.given", "netsvc.registry", "netsvc.websettings", "netsvc.inheriting"},
    "netsvc.options": CONTRACTS
    | {
        "netsvc.service",
        "netsvc.given",
        "netsvc.registry",
        "netsvc.configuration",
        "netsvc.net.fast",
        "netsvc.net.machine",
        "netsvc.__version__",
    },
    "netsvc.annotate": CONTRACTS | {"netsvc.service", "netsvc.registry", "netsvc.configuration"},
    "netsvc.roff": frozenset(),
    "netsvc.manual": CONTRACTS
    | {
        "netsvc.annotate",
        "netsvc.configuration",
        "netsvc.registry",
        "netsvc.roff",
        "netsvc.service",
        "netsvc.__version__",
    },
    # What the assembler puts together.
    "netsvc.construct": CONTRACTS,
    "netsvc.descriptors": CONTRACTS,
    "netsvc.signals": frozenset(),
    "netsvc.ready": CONTRACTS,
    "netsvc.failing": frozenset(),
    "netsvc.systemd": frozenset(),
    "netsvc.trim": frozenset(),
    "netsvc.loglines": frozenset(),
    "netsvc.logoutput": CONTRACTS | {"netsvc.loglines"},
    "netsvc.daemon": CONTRACTS
    | {"netsvc.net", "netsvc.journal", "netsvc.signals", "netsvc.ready", "netsvc.systemd"},
    "netsvc.bridges": CONTRACTS | {"netsvc.net", "netsvc.construct"},
    "netsvc.view": CONTRACTS | {"netsvc.net", "netsvc.journal", "netsvc.bridges", "netsvc.__version__"},
    # The command stands apart: it uses what it needs, and nothing uses it. Only what looks after the file of
    # a journal knows it.
    "netsvc.commands.journal": CONTRACTS | {"netsvc.commands", "netsvc.journal", "netsvc.__version__"},
    "netsvc.commands": CONTRACTS
    | {
        "netsvc.net",
        "netsvc.service",
        "netsvc.registry",
        "netsvc.given",
        "netsvc.configuration",
        "netsvc.options",
        "netsvc.manual",
        "netsvc.roff",
        "netsvc.tap",
        "netsvc.journal.moments",
        "netsvc.services.plain",
        "netsvc.__version__",
    },
    # For the tests of others: they start the daemon as a process and know its API.
    "netsvc.testing": frozenset(),
    "netsvc.pytest_plugin": frozenset({"netsvc.testing"}),
    # The assembler sees all, and so does what it is made of.
    "netsvc.assembly": frozenset({"netsvc"}),
    "netsvc.tap": frozenset({"netsvc"}),
}


def module_of(path: Path) -> str:
    """The dotted name of a file of netsvc."""
    parts = path.relative_to(TREE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(tree: ast.AST, module: str) -> Iterator[tuple[str, int]]:
    """Every name that a source imports, dotted and in full, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = resolve_name("." * node.level + base, module.rpartition(".")[0])
            for alias in node.names:
                yield f"{base}.{alias.name}", node.lineno


def is_in(name: str, room: str) -> bool:
    """Whether a dotted name is a room or something inside of it."""
    return name == room or name.startswith(room + ".")


def room_of(name: str) -> str | None:
    """The room that a dotted name of netsvc belongs to; None where there is no rule for it."""
    return next((room for room in RULES if room != "netsvc" and is_in(name, room)), None)


def wrong_imports(source: str, module: str) -> list[str]:
    """What a file imports from a room that its own may not know."""
    room = "netsvc" if module == "netsvc" else room_of(module)
    if room is None:
        return [f"{module} has no rule in RULES"]
    allowed = {room, *RULES[room]}
    return [
        f"{module}:{line} imports {name}"
        for name, line in imported(ast.parse(source), module)
        if is_in(name, "netsvc") and not any(is_in(name, other) for other in allowed)
    ]


def reactor_imports(source: str) -> list[int]:
    """The lines on which a source imports the reactor."""
    return [
        line
        for name, line in imported(ast.parse(source), "netsvc")
        if is_in(name, "twisted.internet.reactor")
    ]


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_a_file_imports_only_what_its_room_may_know(path: Path) -> None:
    assert wrong_imports(path.read_text(), module_of(path)) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("netsvc.services.echo", "from netsvc.facts import Row"),
        ("netsvc.services.echo", "import netsvc.net.guard"),
        ("netsvc.services.echo", "from netsvc import settings"),
        ("netsvc.services.echo", "from .. import settings"),
        ("netsvc.services.echo", "def late():\n    from ..net import guard"),
        ("netsvc.settings", "if TYPE_CHECKING:\n    from netsvc.interfaces import INetService"),
        ("netsvc.daemon", "from netsvc.tap import Options"),
        ("netsvc.unheard_of", "import os"),
    ],
)
def test_an_import_against_the_directions_is_found(module: str, line: str) -> None:
    assert len(wrong_imports(line, module)) == 1


def test_every_rule_is_for_something_that_is_there() -> None:
    there = {module_of(path) for path in FILES}
    assert set(RULES) - there == set()


def test_nothing_imports_the_assembler() -> None:
    # But the command, which nothing imports: it runs the daemon, and tells what it would do.
    others = [path for path in FILES if not is_in(module_of(path), "netsvc.commands")]
    files = [path for path in (*others, PLUGIN) if path.name != "tap.py"]
    found = [
        f"{path.name}:{line}"
        for path in files
        for name, line in imported(ast.parse(path.read_text()), "netsvc")
        if is_in(name, "netsvc.tap") or (is_in(name, "netsvc.assembly") and path.parent.name != "assembly")
    ]
    assert found == []


def test_what_twistd_reads_for_its_help_imports_declarations_only() -> None:
    names = [name for name, _ in imported(ast.parse(PLUGIN.read_text()), "twisted.plugins")]
    declarations = ("netsvc.service", "netsvc.websettings")
    assert [
        name for name in names if is_in(name, "netsvc") and not any(is_in(name, one) for one in declarations)
    ] == []


def test_no_service_imports_another() -> None:
    # What several services need is a small module of its own beside them, which no declaration names.
    declared = set(re.findall(r'"(netsvc\.services\.\w+)\.\w+"', PLUGIN.read_text()))
    assert declared
    found = [
        f"{module_of(path)}:{line} imports {name}"
        for path in FILES
        if is_in(module_of(path), "netsvc.services")
        for name, line in imported(ast.parse(path.read_text()), module_of(path))
        if any(is_in(name, other) for other in declared)
    ]
    assert found == []


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_only_the_assembler_imports_the_reactor(path: Path) -> None:
    if module_of(path) != "netsvc.tap":
        assert reactor_imports(path.read_text()) == []


def test_an_import_of_the_reactor_is_found() -> None:
    assert reactor_imports("import os\nfrom twisted.internet import defer, reactor\n") == [2]
    assert reactor_imports("def late():\n    import twisted.internet.reactor\n") == [2]


def test_importing_netsvc_makes_no_reactor() -> None:
    # Nor does anything that its modules import: twistd's user could not choose a reactor any more.
    modules = [module_of(path) for path in FILES if path.stem != "__main__"]
    program = f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
    program += "sys.exit('twisted.internet.reactor' in sys.modules and 'it is there')"
    done = subprocess.run([sys.executable, "-c", program], cwd=TREE, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
