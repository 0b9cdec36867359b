"""What was made once of things that never change, kept while there is room."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

V = TypeVar("V")


class Memory(Generic[V]):
    """Values by key, of at most so many bytes together as their givers weigh them; the longest unused goes first."""

    def __init__(self, most: int) -> None:
        self._most: Final = most
        self._held: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> V | None:
        """The value of `key`, if it is still here."""
        held = self._held.get(key)
        if held is None:
            return None
        self._held.move_to_end(key)
        return held[0]

    def put(self, key: Hashable, value: V, weight: int) -> None:
        """Keep `value`, which weighs so many bytes; one that is heavier than a hundredth of the room is not kept."""
        if weight > self._most // 100 or key in self._held:
            return
        self._held[key] = value, weight
        self._bytes += weight
        while self._bytes > self._most:
            _, (_, gone) = self._held.popitem(last=False)
            self._bytes -= gone
