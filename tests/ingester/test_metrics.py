"""The ingester's metrics, read back by Prometheus' own parser."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ingester.metrics import Metrics, kind_of
from lexicons.frames import Frame


def test_everything_that_was_counted_is_in_the_text() -> None:
    metrics = Metrics()
    metrics.frames["#commit", "invalid", "bad_signature"] += 3
    metrics.records["fm.plyr.track", "rejected"] += 2
    metrics.connects['wss://relay"quoted'] += 1
    metrics.off_topic = 7
    metrics.drift["behind"] += 2
    metrics.audited["equal"] += 5
    for seconds in (0.001, 0.03, 100.0):
        metrics.visible.observe(seconds)
    families = {f.name: f for f in text_string_to_metric_families(metrics.render({"plyr_held_frames": 4}))}
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert samples["plyr_frames_total", "#commit", "bad_signature", "invalid"] == 3
    assert samples["plyr_frames_total", "any", "off_topic", "pass"] == 7
    assert samples["plyr_record_versions_total", "fm.plyr.track", "rejected"] == 2
    assert samples["plyr_connects_total", 'wss://relay"quoted'] == 1
    assert samples["plyr_drift_total", "behind"] == 2
    assert samples["plyr_audited_total", "equal"] == 5
    assert samples["plyr_held_frames",] == 4
    assert samples["plyr_write_to_visible_seconds_count",] == 3
    assert samples["plyr_write_to_visible_seconds_bucket", "0.04"] == 2
    assert samples["plyr_write_to_visible_seconds_bucket", "+Inf"] == 3
    assert samples["plyr_write_to_visible_seconds_sum",] == 100.031


@pytest.mark.parametrize(
    ("frame", "kind"),
    [
        (Frame(1, "#commit", {}), "#commit"),
        (Frame(1, "#info", {}), "#info"),
        (Frame(1, "#invented", {}), "unknown"),
        (Frame(-1, None, {}), "error"),
        (Frame(-1, "#invented", {}), "error"),
        (Frame(2, "#commit", {}), "unknown"),
        (Frame(2, None, {}), "unknown"),
    ],
)
def test_the_type_of_a_frame_is_counted_under_one_of_a_few_names(frame: Frame, kind: str) -> None:
    assert kind_of(frame) == kind
