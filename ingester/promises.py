"""Heads that hosts name: a repository is fetched for one, and where it was not given, not soon for it again."""

from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from appview.index.repos import Chain

REMEMBERED: Final = 10_000
"""Repositories whose promised heads are remembered; the longest ago promised go first."""
THE_SAME: Final = timedelta(days=1)
"""After this, a head that was not given is asked for again: its host may have lagged behind itself."""
ANOTHER: Final = timedelta(hours=1)
"""After this, another head of a repository whose host did not give the last one."""


class _Promise(NamedTuple):
    rev: str
    at: datetime


class Promises:
    """The revs that repositories were last fetched for; kept in memory alone, since forgetting one costs one fetch."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, _Promise] = OrderedDict()

    def __len__(self) -> int:
        return len(self._last)

    def made(self, did: str, rev: str, now: datetime | None = None) -> None:
        """A fetch of `did` is wanted, which begins later than `now`, because its host says that it is at `rev`."""
        self._last[did] = _Promise(rev, now or datetime.now(UTC))
        self._last.move_to_end(did)
        if len(self._last) > REMEMBERED:
            self._last.popitem(last=False)

    def is_empty(self, chain: Chain, rev: str, now: datetime | None = None) -> bool:
        """Whether it is idle to fetch what `chain` is of for `rev`: it was fetched for what was promised last, and that
        was not given.
        """
        last = self._last.get(chain.did)
        if last is None or chain.fetched_at is None or chain.fetched_at < last.at or (chain.rev or "") >= last.rev:
            return False
        return (now or datetime.now(UTC)) - last.at < (THE_SAME if rev == last.rev else ANOTHER)
