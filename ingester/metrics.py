"""What the ingester counts, in the exposition format of Prometheus. The web process shows it beside its own."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from lexicons.frames import ERROR, MESSAGE, Frame

UNKNOWN: Final = "unknown"
"""The label of all that strangers invent: each label that is new stays for as long as the process lives."""
_TYPES: Final = frozenset({"#commit", "#sync", "#identity", "#account", "#info"})
_BUCKETS: Final = (0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.0, 2.5, 5.0, 10.0, 30.0)


def kind_of(frame: Frame) -> str:
    """The label of a frame: its type, `error`, or `unknown` for those that the protocol does not have."""
    if frame.op == ERROR:
        return "error"
    return frame.t if frame.op == MESSAGE and frame.t in _TYPES else UNKNOWN


class Histogram:
    """Seconds, in buckets; an observation is an index and two additions."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BUCKETS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """One more."""
        self._counts[bisect_left(_BUCKETS, seconds)] += 1
        self._sum += seconds

    def family(self, name: str, help_text: str) -> Metric:
        """As Prometheus has it: cumulative."""
        total, buckets = 0, []
        for bound, count in zip([*map(str, _BUCKETS), "+Inf"], self._counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return HistogramMetricFamily(name, help_text, buckets=buckets, sum_value=self._sum)


class Metrics:
    """All counters of one ingester."""

    def __init__(self) -> None:
        self.frames: Counter[tuple[str, str, str]] = Counter()
        """By type (`#commit`), verdict and reason."""
        self.off_topic = 0
        """Frames that a cheap look passed over."""
        self.deviations: Counter[str] = Counter()
        """What was off in messages without being wrong, by name."""
        self.records: Counter[tuple[str, str]] = Counter()
        """Record versions taken in, by collection and verdict."""
        self.fetches: Counter[str] = Counter()
        """Repositories fetched, by outcome."""
        self.postponed: Counter[str] = Counter()
        """Jobs given back unbegun, since a host is not to be asked as often, by kind."""
        self.audited: Counter[str] = Counter()
        """Repositories compared with their PDS, by outcome (`equal`, `behind`, ...)."""
        self.drift: Counter[str] = Counter()
        """Differences from a PDS that no message explains, by kind: each is a fault of somebody's, mostly of ours."""
        self.visible = Histogram()
        """From the receipt of a frame to the commit that made it visible."""
        self.batches = 0
        self.connects: Counter[str] = Counter()
        """Connections made, by upstream."""
        self.behind: Counter[str] = Counter()
        """Connections dropped since the server's sequence is behind our cursor, by upstream."""
        self.missed: Counter[str] = Counter()
        """Proven commits that an upstream owed and did not bring in time, by upstream."""
        self.blind: Counter[str] = Counter()
        """How often an upstream was found blind, by upstream."""
        self.silent: Counter[str] = Counter()
        """Connections dropped since nothing came any more, by upstream."""
        self.gaps: Counter[tuple[str, str]] = Counter()
        """Holes in a stream, by upstream, `found` and `closed`."""

    def render(self, gauges: Mapping[str, float]) -> str:
        """Everything as text; `gauges` by name, of what is now."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(
            _Families([*self._families(), *(GaugeMetricFamily(n, n, value=v) for n, v in gauges.items())])
        )
        return generate_latest(registry).decode()

    def _families(self) -> Iterable[Metric]:
        frames = CounterMetricFamily(
            "plyr_frames", "Frames by type, verdict and reason.", labels=("type", "verdict", "reason")
        )
        for labels, count in sorted(self.frames.items()):
            frames.add_metric(labels, count)
        frames.add_metric(("any", "pass", "off_topic"), self.off_topic)
        yield frames
        for name, help_text, label, counts in (
            ("plyr_deviations", "What was off without being wrong.", "name", self.deviations),
            ("plyr_fetches", "Repositories fetched.", "outcome", self.fetches),
            ("plyr_postponed", "Jobs given back: their host is not to be asked as often.", "kind", self.postponed),
            ("plyr_audited", "Repositories compared with their PDS.", "outcome", self.audited),
            ("plyr_drift", "Differences from a PDS that no message explains.", "kind", self.drift),
            ("plyr_connects", "Connections made to upstreams.", "upstream", self.connects),
            ("plyr_sequence_behind", "Connections dropped: their seqs are below our cursor.", "upstream", self.behind),
            ("plyr_upstream_missed", "Proven commits that it did not bring in time.", "upstream", self.missed),
            ("plyr_upstream_blind", "How often it brought nothing of what others brought.", "upstream", self.blind),
            ("plyr_upstream_silent", "Connections dropped: nothing came any more.", "upstream", self.silent),
        ):
            family = CounterMetricFamily(name, help_text, labels=(label,))
            for value, count in sorted(counts.items()):
                family.add_metric((value,), count)
            yield family
        gaps = CounterMetricFamily(
            "plyr_gaps", "Holes in streams; those found and not closed are open.", labels=("upstream", "state")
        )
        for gap, count in sorted(self.gaps.items()):
            gaps.add_metric(gap, count)
        yield gaps
        records = CounterMetricFamily(
            "plyr_record_versions", "Record versions taken in.", labels=("collection", "verdict")
        )
        for record, count in sorted(self.records.items()):
            records.add_metric(record, count)
        yield records
        yield CounterMetricFamily("plyr_batches", "Transactions of the writer.", value=self.batches)
        yield self.visible.family("plyr_write_to_visible_seconds", "From receipt of a frame to its commit here.")


class _Families:
    """Metric families, to be collected once."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Them."""
        return self._families
