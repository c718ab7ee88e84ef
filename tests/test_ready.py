"""`netsvc.ready`: the file that tells that every listener is open."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from netsvc.ready import ReadyFile
from netsvc.settings import SettingError


def test_it_is_written_whole_and_alone(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    ready = ReadyFile(str(path))
    ready.prepare()
    assert list(tmp_path.iterdir()) == []
    ready.write([{"service": "echo"}])
    assert json.loads(path.read_text()) == [{"service": "echo"}]
    assert list(tmp_path.iterdir()) == [path]
    ready.remove()
    assert list(tmp_path.iterdir()) == []


def test_what_an_earlier_daemon_left_is_taken_away_first(tmp_path: Path) -> None:
    path = tmp_path / "ready.json"
    path.write_text("[]")
    ReadyFile(str(path)).prepare()
    assert not path.exists()


def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "file")
    ready = ReadyFile(str(link))
    ready.prepare()
    ready.write([])
    assert link.is_symlink()
    assert (tmp_path / "file").read_text() == "[]\n"


def test_what_is_no_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    for there in (path, tmp_path, Path("/dev/null")):
        with pytest.raises(SettingError, match="no regular file"):
            ReadyFile(str(there)).prepare()
        assert there.exists()


def test_a_directory_that_is_not_there_is_refused_before_anything_starts(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot be written: No such file or directory"):
        ReadyFile(str(tmp_path / "none" / "ready.json")).prepare()


def test_without_a_path_there_is_nothing_to_do() -> None:
    ready = ReadyFile("")
    ready.prepare()
    ready.write([])
    ready.remove()


def test_a_path_with_a_nul_is_refused() -> None:
    with pytest.raises(SettingError, match="it holds a NUL"):
        ReadyFile("ready\0.json").prepare()
