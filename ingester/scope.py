"""What concerns us: the one cheap look that decides whether a frame is worth proving. Pure."""

from collections.abc import Container
from collections.abc import Set as AbstractSet

from ingester.shard import Shard
from lexicons.frames import ERROR, Frame

_BY_DID = frozenset({"#sync", "#identity", "#account"})


class Scope:
    """The repositories that are tracked, and the collections whose records make one of `shard` tracked.

    Both sets are looked at, never copied: what their owner adds counts from the next frame on.
    """

    def __init__(self, tracked: Container[str], signal: AbstractSet[str], shard: Shard) -> None:
        self._tracked = tracked
        self._signal = signal
        self._shard = shard

    def concerns(self, frame: Frame) -> bool:
        """Whether the message in a frame, as `glance` gives it, has to be looked at closely.

        Of a tracked repository every commit, so that its chain holds (RD-50); of the others those that write in a
        signal collection. Word about the stream always; types that are not known never (ES-12).
        """
        kind, payload = frame.t, frame.payload
        if kind == "#commit":
            did = payload.get("repo")
            if self._is_tracked(did):
                return True
            ops = payload.get("ops")
            return type(ops) is list and any(map(self._is_signal, ops)) and self._is_ours(did)
        if kind in _BY_DID:
            return self._is_tracked(payload.get("did"))
        return kind == "#info" or frame.op == ERROR

    def _is_tracked(self, did: object) -> bool:
        return type(did) is str and did in self._tracked

    def _is_ours(self, did: object) -> bool:
        # What is no text will be refused, and that by one of us.
        return self._shard.owns(did) if type(did) is str else self._shard.number == 0

    def _is_signal(self, op: object) -> bool:
        if type(op) is not dict:
            return False
        path = op.get("path")
        return type(path) is str and path.partition("/")[0] in self._signal
