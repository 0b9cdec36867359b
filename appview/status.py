"""What a running ingester says of itself, each second, in `status` of its row in `shards`.

The ingester writes it; the web process tells from it whether the index is up to date.
"""

from typing import Final, Literal, TypedDict

VERSION: Final = 1
"""Rises when a reader of an older shape could not make sense of a newer one."""


class Upstream(TypedDict):
    """One relay or host that is listened to. Times are RFC 3339 in UTC; None where there is nothing to say yet."""

    url: str
    state: Literal["connecting", "live", "waiting", "blind"]
    """live: connected, and its pings are answered; waiting: until the next attempt to connect; blind: the same, for
    longer, since it brought nothing of what others brought.
    """
    since: str
    error: str | None
    """How the last connection or attempt ended; of one that is live, what speaks against it."""
    last_frame_at: str | None
    last_seq: int | None
    cursor: int | None
    """Everything up to this seq is in the index."""


class Queue(TypedDict):
    """The frames that were received and are not yet in the index, and the age of the oldest (0 without any)."""

    frames: int
    oldest_seconds: float


class Status(TypedDict):
    """All that is said."""

    version: int
    upstreams: list[Upstream]
    queue: Queue
    catching_up: bool
    """Whether what arrives was said before this connection was made: a replay, or a first backfill."""
    held_frames: int
    """Those that wait until their repository was fetched."""
    jobs: dict[str, int]
    """How many wait, by kind."""
    tracked: int
    """How many accounts are indexed."""
