"""`fm.teal.feed.play`, and `fm.teal.alpha.feed.play` before August 2026: somebody listened to something, anywhere.

A play is matched to a track where it says that it took place at one: an AT-URI of the track, or an address that has
its account and key in it as ours have, `…/audio/{did}/{rkey}`. Which host that is on is not asked: it may have been
ours under another name, and whoever writes the record could claim any. The numbers of plyr.fm's own addresses,
`…/track/{number}`, name no record.
"""

from datetime import datetime
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from appview.index.records import fields
from appview.index.records.base import Incoming, RecordType, Row
from appview.index.records.fields import Value
from appview.index.sort import parse_datetime

_PLACES = frozenset({"audio", "track"})


class Play(NamedTuple):
    """A play: where it took place, as an address of some kind, what was played, and when."""

    origin: str | None
    track_name: str | None
    played_at: datetime | None


def read(value: Value) -> Play:
    """The play in `value`, whatever is wrong with it. Never raises."""
    origin = fields.text(value, "originUri", 8192) or fields.text(value, "originUrl", 8192)
    return Play(origin or None, fields.text(value, "trackName", 2560), parse_datetime(value.get("playedTime")))


def track_at(origin: str, track_nsid: str) -> str | None:
    """The URI of the track that is named by where a play took place; None when that names none."""
    try:
        path = unquote(urlsplit(origin).path) if origin.startswith(("https://", "http://")) else ""
    except ValueError:
        return None
    # An AT-URI by itself, or behind the address of whatever shows it.
    at = (path or origin).find("at://")
    if at >= 0:
        uri = (path or origin)[at:]
    else:
        place, did, rkey = ["", "", "", *path.rstrip("/").split("/")][-3:]
        uri = f"at://{did}/{track_nsid}/{rkey}" if place in _PLACES else ""
    return uri if fields.is_record_of(uri, track_nsid) else None


class Plays(RecordType):
    """The plays there are; those of no track of this network have no subject."""

    name = "play"
    signal = False
    table = "plays"
    columns = "uri text, did text, subject text, played_at timestamptz, sort_at timestamptz"

    def row(self, record: Incoming) -> Row:
        """The row that shows `record`."""
        play = read(record.value)
        subject = track_at(play.origin, self.track_nsid) if play.origin is not None else None
        return record.uri, record.did, subject, play.played_at, record.sort_at
