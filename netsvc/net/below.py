"""An attribute of a transport's that a guard hands through."""

from __future__ import annotations

from typing import Any


class Below:
    """Looks its name up in the transport below, when it is asked for; see `Guard.below`."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, guard: Any, owner: type) -> Any:
        return self if guard is None else guard.below(self._name)
