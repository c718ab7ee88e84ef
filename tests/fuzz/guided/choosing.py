"""Settings and limits chosen by the bytes of an input, from those that made inputs have too."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netsvc.service import NetService
from tests.fuzz import plays
from tests.fuzz.guided.reading import Reading
from tests.fuzz.inputs import Inputs
from tests.fuzz.streams import some_value
from tests.fuzz.wild import make_actions


class _Chosen(Inputs):
    """Chance whose every number is a byte of the input."""

    def __init__(self, given: Reading) -> None:
        super().__init__(0)
        self._given = given

    def random(self) -> float:
        """A number from 0 to less than 1; at the end of the input what ends things."""
        return self._given.byte() / 256 if self._given else 255 / 256


class Choices:
    """
    What an input chooses.

    @ivar chance: the same, for what makes an input by chance.
    """

    def __init__(self, given: Reading) -> None:
        """@param given: the input."""
        self._given = given
        self.chance: Inputs = _Chosen(given)

    def settings(self, service: NetService) -> dict[str, Any]:
        """Up to three settings of a service with values that they may have."""
        if service is plays.WILD:
            return {"actions": make_actions(self.chance), "half_closing": self.chance.often()}
        if not service.settings:
            return {}
        chosen = [self._given.one_of(service.settings) for _ in range(self._given.byte() % 4)]
        return {one.name: some_value(self.chance, one) for one in chosen}

    def limits(self, known: Sequence[tuple[str, tuple[Any, ...]]]) -> dict[str, Any]:
        """
        Up to three limits.

        @param known: their names, each with the values that it may have.
        """
        chosen = [self._given.one_of(known) for _ in range(self._given.byte() % 4)]
        return {name: self._given.one_of(values) for name, values in chosen}
