"""`/metrics`: what this process counts, what the ingesters last counted, and how much there is in the index.

The ingesters leave theirs, in the exposition format, in their rows of `shards`; here each gets the label `shard`.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString
from starlette.requests import Request
from starlette.responses import Response

from appview.db import Pool
from appview.index import echoes
from xrpc.availability import within
from xrpc.context import context_of
from xrpc.errors import Unavailable

QUERY_SECONDS: Final = 5.0
FRESH_SECONDS: Final = 5.0
SHARE: Final = 0.02
"""Of the database's time, what being asked here may cost: after an answer that took 1 s, none is asked for in 50 s."""
STALE_SECONDS: Final = 60.0
"""After as long a silence an ingester's metrics are those of a process that is gone, and are left out."""


class Metrics:
    """What is told of `registry` and of the index, which is asked at most every few seconds."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._asking = asyncio.Lock()
        self._index: list[Metric] = []
        self._fresh_until = 0.0

    async def answer(self, request: Request) -> Response:
        """All of it as text; of a database that is away, only that it is."""
        async with self._asking:
            if time.monotonic() >= self._fresh_until:
                await self._ask(context_of(request).pool)
        text = generate_latest(_Families([*self._registry.collect(), *self._index]))
        return Response(text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4, "Cache-Control": "no-store"})

    async def _ask(self, pool: Pool) -> None:
        began = time.monotonic()
        pause = FRESH_SECONDS
        try:
            self._index = [_up(1), *await within(QUERY_SECONDS, _measured(pool))]
            pause = max(pause, (time.monotonic() - began) / SHARE)
        except Unavailable:
            self._index = [_up(0)]
        self._fresh_until = time.monotonic() + pause


class _Families(Collector):
    """Metric families, each once, though several processes may have samples of it."""

    def __init__(self, families: Iterable[Metric]) -> None:
        self._families: dict[str, Metric] = {}
        for family in families:
            merged = self._families.setdefault(
                family.name, Metric(family.name, family.documentation, family.type, family.unit)
            )
            merged.samples += family.samples

    def collect(self) -> Iterable[Metric]:
        """The families, in the order in which they were met."""
        return self._families.values()


def _up(up: int) -> Metric:
    return GaugeMetricFamily("plyr_database_up", "Whether the database answers this process.", value=up)


async def _measured(pool: Pool) -> list[Metric]:
    return [await _records(pool), await _repos(pool), *await _own_writes(pool), *await _shards(pool)]


async def _records(pool: Pool) -> Metric:
    gauge = GaugeMetricFamily("plyr_records", "Records that are shown.", labels=["collection"])
    for row in await pool.fetch("select name, n from totals order by name"):
        gauge.add_metric([row["name"]], row["n"])
    return gauge


async def _repos(pool: Pool) -> Metric:
    gauge = GaugeMetricFamily("plyr_repos", "Repositories, by how far they are indexed.", labels=["state"])
    rows = await pool.fetch("select status, n from repo_counts")
    found = {row["status"]: row["n"] for row in rows}
    for state in ("synchronized", "desynchronized", "in_progress"):
        gauge.add_metric([state], found.get(state, 0))
    return gauge


async def _own_writes(pool: Pool) -> list[Metric]:
    count, oldest = await echoes.waiting(pool)
    settled = HistogramMetricFamily(
        "plyr_own_write_seconds",
        "From a PDS's answer to a write through us until it came back, or was taken back.",
        labels=["outcome"],
    )
    for past in await echoes.past(pool):
        counts = zip(map(floatToGoString, echoes.BUCKETS), accumulate(past.buckets), strict=True)
        settled.add_metric([past.outcome], list(counts), past.seconds)
    return [
        GaugeMetricFamily("plyr_own_writes_pending", "Writes through us that have not come back yet.", value=count),
        GaugeMetricFamily("plyr_own_writes_oldest_seconds", "Since when the first of them has not.", value=oldest),
        settled,
    ]


async def _shards(pool: Pool) -> list[Metric]:
    silence = GaugeMetricFamily(
        "plyr_ingester_silent_seconds", "Since an ingester last said that it runs.", labels=["shard"]
    )
    families: list[Metric] = [silence]
    rows = await pool.fetch(
        "select shard, metrics, extract(epoch from clock_timestamp() - status_at)::float8 as silent"
        " from shards where status_at is not null order by shard"
    )
    for row in rows:
        silence.add_metric([row["shard"]], row["silent"])
        if row["silent"] <= STALE_SECONDS:
            families += _labelled(row["metrics"] or "", row["shard"])
    return families


def _labelled(text: str, shard: str) -> Iterator[Metric]:
    for family in text_string_to_metric_families(text):
        family.samples = [sample._replace(labels={**sample.labels, "shard": shard}) for sample in family.samples]
        yield family
