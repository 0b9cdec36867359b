"""The watch over all upstreams: one that is silent is connected to anew, one that is blind is said so and set aside."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Final

from ingester.budget import HostClient
from ingester.hosts import HostError, http_origin, is_pds
from ingester.metrics import Metrics
from ingester.patience import Patience
from ingester.upstream import Upstream
from ingester.witness import Verdict, Witness

STOOD_STILL: Final = 5
"""Looks that were missed, after which it was this process that did not read, and no upstream that was silent."""

log = logging.getLogger("plyr.watch")


class Watch:
    """Looks at `upstreams` with what the `witness` has heard; `named`, by origin, asks them what they are."""

    def __init__(
        self,
        upstreams: Sequence[Upstream],
        witness: Witness,
        named: Mapping[str, HostClient],
        metrics: Metrics,
        patience: Patience,
    ) -> None:
        self._upstreams = upstreams
        self._witness = witness
        self._named = named
        self._metrics = metrics
        self._patience = patience
        self._clock = asyncio.get_running_loop().time

    async def run(self) -> None:
        """Look for ever."""
        async with asyncio.TaskGroup() as tasks:
            for upstream in self._upstreams:
                tasks.create_task(self._recognize(upstream.stream.url))
            while True:
                asleep = self._clock()
                await asyncio.sleep(self._patience.look)
                if self._clock() - asleep > STOOD_STILL * self._patience.look:
                    for upstream in self._upstreams:
                        upstream.steady_since = None
                self._look()

    @property
    def is_behind(self) -> bool:
        """Whether what comes in was made a while ago, and no relay brings what is made now."""
        return any(upstream.is_behind for upstream in self._upstreams) and not any(
            self._sees(upstream) and not upstream.is_behind for upstream in self._upstreams
        )

    async def _recognize(self, url: str) -> None:
        """Find out whether an upstream is a PDS, which is silent when its accounts are and owes nobody else's commits.

        Until that is found out, nothing is expected of it.
        """
        origin = http_origin(url)
        while not self._witness.is_known(url):
            try:
                self._witness.recognize(url, is_pds=await is_pds(self._named[origin], origin))
            except HostError as error:
                log.info("%s does not say what it is: %s", url, error)
                await asyncio.sleep(self._patience.ask)

    def _look(self) -> None:
        for upstream in self._upstreams:
            upstream.look()
            if upstream.is_silent and self._witness.is_relay(upstream.stream.url):
                self._metrics.silent[upstream.stream.url] += 1
                upstream.drop("nothing came any more, though its pings were answered")
            if upstream.doubt is not None and self._witness.sees(upstream.stream.url):
                upstream.doubt = None
                log.info("%s brings again what others bring", upstream.stream.url)
        steady = {up.stream.url: up.steady_since for up in self._upstreams if up.steady_since is not None}
        for verdict in self._witness.settle(steady, grace=self._patience.grace, blind=self._patience.blind):
            self._set_aside(verdict)
        if not any(up.state == "live" and self._witness.is_relay(up.stream.url) for up in self._upstreams):
            for upstream in self._upstreams:
                upstream.recall()

    def _set_aside(self, verdict: Verdict) -> None:
        """Say that an upstream is blind, and leave it alone for a while, unless nobody is left who sees."""
        url, commits, accounts, seconds = verdict
        self._metrics.blind[url] += 1
        (upstream,) = [upstream for upstream in self._upstreams if upstream.stream.url == url]
        upstream.doubt = (
            f"it is blind: others brought {commits} commits of {accounts} accounts in {seconds:.0f} s, and it none"
        )
        if any(self._sees(other) for other in self._upstreams if other is not upstream):
            upstream.drop(upstream.doubt, aside=self._patience.aside)
        else:
            log.warning("%s: %s; it is followed on, since no other brings what it may", url, upstream.doubt)

    def _sees(self, upstream: Upstream) -> bool:
        """Whether an upstream stands in for any other: a relay that is live, and brings what is expected of it."""
        url = upstream.stream.url
        return upstream.state == "live" and self._witness.is_relay(url) and self._witness.sees(url)
