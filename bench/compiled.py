"""The two programs in C, the load and one peer: compiled when they are needed and there is a compiler."""

from __future__ import annotations

import functools
import shutil
import subprocess
from pathlib import Path

_HERE = Path(__file__).parent

#: What is made here is thrown away by `make clean`.
CACHE = _HERE.parent / "build" / "bench"


def load() -> Path | None:
    """The load; None where there is no C compiler."""
    return _program(_HERE / "load.c")


def epoll() -> Path | None:
    """The server around epoll; None where there is no C compiler."""
    return _program(_HERE / "peers" / "epoll.c")


@functools.cache
def _program(source: Path) -> Path | None:
    program = CACHE / source.stem
    if program.exists() and program.stat().st_mtime >= source.stat().st_mtime:
        return program
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        return None
    CACHE.mkdir(parents=True, exist_ok=True)
    # Beside its place and then moved there, so that one who runs it meanwhile keeps the old one.
    new = program.with_suffix(".new")
    subprocess.run([compiler, "-O2", "-o", new, source, "-ldl"], check=True)
    new.replace(program)
    return program
