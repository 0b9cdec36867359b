"""Which frames are worth a closer look."""

from typing import Any

import pytest

from ingester.scope import Scope
from ingester.shard import Shard
from lexicons.frames import Frame, encode_error, encode_frame, glance

TRACKED = "did:plc:tracked"
STRANGER = "did:plc:stranger"
SCOPE = Scope({TRACKED}, {"fm.plyr.track", "fm.plyr.like"}, Shard(0, 1))


def commit(did: str, *paths: Any) -> Frame:
    ops = [{"action": "create", "path": path} for path in paths]
    return glance(encode_frame("#commit", {"repo": did, "ops": ops}))


@pytest.mark.parametrize(
    ("frame", "concerns"),
    [
        (commit(STRANGER, "app.bsky.feed.post/3l"), False),
        (commit(STRANGER, "app.bsky.feed.post/3l", "fm.plyr.track/3l"), True),
        (commit(STRANGER), False),
        (commit(STRANGER, "fm.plyr.trackish/3l"), False),
        (commit(STRANGER, "fm.plyr.stg.track/3l"), False),
        (commit(TRACKED, "app.bsky.feed.post/3l"), True),
        (commit(TRACKED), True),
        (commit(STRANGER, 7, None), False),
        (glance(encode_frame("#commit", {"repo": STRANGER, "ops": "fm.plyr.track/3l"})), False),
        (glance(encode_frame("#commit", {"repo": STRANGER, "ops": ["fm.plyr.track/3l"]})), False),
        (glance(encode_frame("#sync", {"did": TRACKED})), True),
        (glance(encode_frame("#sync", {"did": STRANGER})), False),
        (glance(encode_frame("#account", {"did": TRACKED})), True),
        (glance(encode_frame("#identity", {"did": STRANGER})), False),
        (glance(encode_frame("#info", {"name": "OutdatedCursor"})), True),
        (glance(encode_frame("#tombstone", {"did": TRACKED})), False),
        (glance(encode_error("FutureCursor")), True),
    ],
)
def test_what_concerns_us(frame: Frame, concerns: bool) -> None:
    assert SCOPE.concerns(frame) is concerns


def test_what_is_another_shards_is_left_to_it() -> None:
    frame = commit(STRANGER, "fm.plyr.track/3l")
    scopes = [Scope({TRACKED}, {"fm.plyr.track"}, Shard(number, 3)) for number in range(3)]
    assert [scope.concerns(frame) for scope in scopes] == [Shard(number, 3).owns(STRANGER) for number in range(3)]
    assert sum(scope.concerns(frame) for scope in scopes) == 1


def test_an_unhashable_did_is_nobodys() -> None:
    assert not SCOPE.concerns(glance(encode_frame("#commit", {"repo": [TRACKED], "ops": []})))


def test_a_repository_tracked_later_counts_from_then_on() -> None:
    tracked: set[str] = set()
    scope = Scope(tracked, frozenset(), Shard(0, 1))
    frame = glance(encode_frame("#sync", {"did": STRANGER}))
    assert not scope.concerns(frame)
    tracked.add(STRANGER)
    assert scope.concerns(frame)
