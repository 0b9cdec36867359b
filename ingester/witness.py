"""What each upstream owes the others: a commit that one of them brought, and that was proven, the others bring as well.

One that brings none of them is blind: its connection stands, its pings are answered, and it says nothing of what
concerns us. A relay owes every commit, a PDS those of its own accounts. Only commits count that their repository's key
has signed, of several accounts, over minutes in which the upstream was read as it came; so a stranger who wants one to
look blind must keep several repositories that it really does not carry, while nobody else's commits come by it.
"""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from ingester.hosts import http_origin

MIN_COMMITS: Final = 20
MIN_ACCOUNTS: Final = 3
"""So many commits, of so many accounts, and not one of them brought: that is no chance."""
MAX_AWAITED: Final = 10_000
"""Commits of which it is waited who brings them; with more at a time, some are not waited for."""
MAX_MISSED: Final = 1_000
"""Of the commits that an upstream did not bring, the first ones, by which one that is merely late is told."""

Commit = tuple[str, str]
"""A DID and a rev."""


class Verdict(NamedTuple):
    """An upstream is blind: so many commits of so many accounts came by others in so many seconds, and none by it."""

    url: str
    commits: int
    accounts: int
    seconds: float


class _Proven:
    """A commit that was proven at `at`, of an account at `pds`, and who has brought it."""

    __slots__ = ("at", "brought_by", "pds")

    def __init__(self, at: float, pds: str | None, url: str) -> None:
        self.at = at
        self.pds = pds
        self.brought_by = {url}


class _Host:
    """One upstream, and what it has missed since it last brought something."""

    def __init__(self, url: str) -> None:
        self.origin = http_origin(url)
        self.is_pds: bool | None = None
        """None while that is not known, when nothing is expected of it."""
        self.has_brought = False
        """Whether it brought anything since it was last found blind."""
        self.began_at = 0.0
        self.commits = 0
        self.accounts: set[str] = set()
        self.missed: dict[Commit, None] = {}
        self.since = 0.0

    def owes(self, commit: _Proven) -> bool:
        return self.is_pds is not None and (not self.is_pds or commit.pds == self.origin)

    def miss(self, commit: Commit, at: float) -> None:
        if at < self.began_at:
            return
        if not self.commits:
            self.since = at
        self.commits += 1
        if len(self.missed) < MAX_MISSED:
            self.missed[commit] = None
            self.accounts.add(commit[0])

    def begin_anew(self, now: float, *, has_brought: bool) -> None:
        self.began_at = now
        self.has_brought = has_brought
        if self.commits:
            self.commits = 0
            self.accounts.clear()
            self.missed.clear()


class Witness:
    """Hears which upstream brought which commit. With a single upstream there is nothing to compare."""

    def __init__(
        self,
        urls: Iterable[str],
        pds_of: Callable[[str], str | None],
        missed: Counter[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`pds_of`: the origin of an account's PDS, as far as it is in memory. In `missed` it is counted, by upstream,
        what one owed and did not bring in time.
        """
        self._hosts = {url: _Host(url) for url in urls}
        self._pds_of = pds_of
        self._missed = missed
        self._clock = clock
        # Of a plain dict, from which the oldest are taken, the first is harder and harder to find.
        self._awaited: OrderedDict[Commit, _Proven] = OrderedDict()
        self._settled: OrderedDict[Commit, None] = OrderedDict()
        """Those that are not waited for any more, so that whoever brings one now is no first."""

    def proven(self, url: str, did: str, rev: str) -> None:
        """`url` brought this commit, and it is true."""
        if len(self._hosts) < 2:
            return
        commit = did, rev
        self._hosts[url].begin_anew(self._clock(), has_brought=True)
        awaited = self._awaited.get(commit)
        if awaited is not None:
            awaited.brought_by.add(url)
        elif commit not in self._settled and len(self._awaited) < MAX_AWAITED:
            pds = self._pds_of(did)
            for host in self._hosts.values():
                if host.origin == pds:
                    host.is_pds = True
            self._awaited[commit] = _Proven(self._clock(), pds, url)

    def repeated(self, url: str, did: str, rev: str, *, is_held: bool) -> None:
        """`url` brought this, and it is not proven (no news, or not yet); `is_held`: the index stands at this rev."""
        if len(self._hosts) < 2:
            return
        commit, host = (did, rev), self._hosts[url]
        awaited = self._awaited.get(commit)
        if awaited is not None:
            awaited.brought_by.add(url)
        if is_held or awaited is not None or commit in host.missed:
            host.begin_anew(self._clock(), has_brought=True)

    def settle(self, steady: Mapping[str, float], *, grace: float, blind: float) -> list[Verdict]:
        """Stop waiting for what is `grace` seconds old, and say who has been blind for `blind` seconds.

        `steady`: since when an upstream has been read as it came; one that is away, behind or held up is not in it.
        Each verdict is given once: whoever is found blind begins anew.
        """
        now = self._clock()
        for commit, proven in self._ripe(now - grace):
            for url, host in self._hosts.items():
                if url not in proven.brought_by and steady.get(url, now) <= proven.at and host.owes(proven):
                    self._missed[url] += 1
                    host.miss(commit, proven.at)
        return [
            self._judged(url, host, now)
            for url, host in self._hosts.items()
            if host.commits >= MIN_COMMITS and len(host.accounts) >= MIN_ACCOUNTS and now - host.since >= blind
        ]

    def is_relay(self, url: str) -> bool:
        """Whether `url` is known to bring what others write, too."""
        return self._hosts[url].is_pds is False

    def is_known(self, url: str) -> bool:
        """Whether it is known what `url` is."""
        return self._hosts[url].is_pds is not None

    def recognize(self, url: str, *, is_pds: bool) -> None:
        """What `url` is, as it says itself; that it is the PDS of an account counts more."""
        host = self._hosts[url]
        host.is_pds = host.is_pds or is_pds

    def sees(self, url: str) -> bool:
        """Whether `url` has brought anything since it was last found blind, and is not about to be found so again."""
        host = self._hosts[url]
        return host.has_brought and host.commits < MIN_COMMITS

    def _ripe(self, before: float) -> Iterator[tuple[Commit, _Proven]]:
        while self._awaited:
            commit, proven = next(iter(self._awaited.items()))
            if proven.at > before:
                return
            del self._awaited[commit]
            self._settled[commit] = None
            if len(self._settled) > MAX_AWAITED:
                self._settled.popitem(last=False)
            yield commit, proven

    def _judged(self, url: str, host: _Host, now: float) -> Verdict:
        verdict = Verdict(url, host.commits, len(host.accounts), now - host.since)
        host.begin_anew(now, has_brought=False)
        return verdict
