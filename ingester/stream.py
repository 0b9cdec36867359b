"""How far one upstream has been taken in: the cursor is the highest seq below which everything is finished (ES-28)."""

from typing import Final

from ingester.events import MAX_SEQ

_NOTHING: Final = 0


class Stream:
    """The sequence of one upstream: what came, what of it is under way, and so where to go on after a crash.

    A message is finished when all that follows from it is in a batch; the cursor that goes into that batch may then
    cover it.
    """

    def __init__(self, url: str, cursor: int | None) -> None:
        self.url = url
        self.last = cursor
        """The newest seq that came; None before the first."""
        self._under_way: dict[int, None] = {}

    @property
    def cursor(self) -> int | None:
        """Everything up to this seq is finished; None where nothing is known to be."""
        for seq in self._under_way:
            return seq - 1
        return self.last

    @property
    def under_way(self) -> int:
        """How many messages are not finished."""
        return len(self._under_way)

    def is_new(self, seq: object) -> bool:
        """Whether a message with this seq is one that did not come before, and may be taken (ES-22, ES-25)."""
        return type(seq) is int and (self.last or _NOTHING) < seq <= MAX_SEQ

    def pass_by(self, seq: int) -> None:
        """A new message came of which nothing follows."""
        self.last = seq

    def begin(self, seq: int) -> None:
        """A new message came, which will be finished later."""
        self._under_way[seq] = None
        self.last = seq

    def finish(self, seq: int) -> None:
        """All that follows from this message is in the batch."""
        self._under_way.pop(seq, None)
