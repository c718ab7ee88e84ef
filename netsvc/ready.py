"""
The file that tells others that every listener is open, and where.

Whoever waits for it must not see that of a daemon which has ended, so it goes away before listeners are
opened and when the daemon ends. It is put in place whole.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from netsvc.settings import SettingError


class ReadyFile:
    """The file of ``net.ready``; without a path it does nothing."""

    def __init__(self, path: str) -> None:
        """@param path: where; empty for none."""
        # Without a NUL, which no path has; and a symbolic link is followed: it is not what is replaced.
        self._path = os.path.realpath(path.replace("\0", "")) if path else ""
        self._given = path

    def prepare(self) -> None:
        """
        Take away what an earlier daemon left, and see that the file can be written.

        @raise SettingError: it cannot, or something stands there that is no file.
        """
        if not self._path:
            return
        if "\0" in self._given:
            raise SettingError(f"--ready {self._given!r}: it holds a NUL; expected the name of a file")
        try:
            if not stat.S_ISREG(os.stat(self._path).st_mode):
                raise SettingError(
                    f"--ready {self._shown}: it is no regular file; expected the name of one, old or new"
                )
            os.unlink(self._path)
        except FileNotFoundError:
            # The usual case.
            pass
        except OSError as error:
            raise self._refusal(error) from None
        try:
            with open(self._partial, "w", encoding="utf-8"):
                os.unlink(self._partial)
        except OSError as error:
            raise self._refusal(error) from None

    def write(self, places: Sequence[dict[str, Any]]) -> None:
        """
        Tell of the listeners.

        @param places: ready for JSON.
        @raise SettingError: it cannot be written.
        """
        if not self._path:
            return
        try:
            with open(self._partial, "w", encoding="utf-8") as file:
                json.dump(list(places), file, indent=1)
                file.write("\n")
            os.replace(self._partial, self._path)
        except OSError as error:
            with suppress(OSError):
                os.unlink(self._partial)
            raise self._refusal(error) from None

    def remove(self) -> None:
        """The daemon ends; a file that cannot be removed any more is left to the next start."""
        if self._path:
            with suppress(OSError):
                os.unlink(self._path)

    @property
    def _shown(self) -> str:
        return self._given if self._given.isprintable() else repr(self._given)

    @property
    def _partial(self) -> str:
        return f"{self._path}.{os.getpid()}"

    def _refusal(self, error: OSError) -> SettingError:
        return SettingError(f"--ready {self._shown}: cannot be written: {error.strerror}")
