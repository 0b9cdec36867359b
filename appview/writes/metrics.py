"""What is counted of writes."""

from prometheus_client import CollectorRegistry, Counter, Histogram

_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class WriteMetrics:
    """Writes to the PDSes of those who are signed in."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.outcomes = Counter(
            "plyr_pds_writes",
            "Writes to PDSes, by what came of them: done, unchanged, found (after a lost reply), or the error's name.",
            ["method", "outcome"],
            registry=registry,
        )
        self.seconds = Histogram(
            "plyr_pds_write_seconds",
            "From a write being asked for to its being known what came of it.",
            ["method"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self.unshown = Counter(
            "plyr_pds_writes_not_shown",
            "Writes that a PDS has and that were not shown at once; a job sees to them.",
            registry=registry,
        )
        self.uploads = Counter(
            "plyr_pds_uploads", "Uploads to PDSes, by what came of them.", ["outcome"], registry=registry
        )
