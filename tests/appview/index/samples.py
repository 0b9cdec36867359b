"""Records for the tests of the index: canonical ones, and the odd ones that are met on the network."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from appview.index.records import Incoming
from lexicons.data import CID, encode, from_json
from lexicons.formats import tid_from_time_us

NOW: Final = datetime(2026, 11, 22, 12, tzinfo=UTC)
TIME: Final = "2026-02-27T16:08:13.146107Z"
RAW: Final = "bafkreifnvhfnyy7p3ara2gdyv6krztsd26luv2mi45j7hw3sreq7xjpd24"
RECORD_CID: Final = "bafyreig2aotx4pgpwqxotzm7i3vgyalrdfemsqr6ukdpmqrhfdvh2mcq5i"
DID: Final = "did:plc:vs3hnzq2daqbszxlysywzy54"
TRACK_URI: Final = f"at://{DID}/fm.plyr.track/3lfvhszifvc2c"
SUBJECT: Final = {"uri": TRACK_URI, "cid": RECORD_CID}
BLOB: Final = {"$type": "blob", "ref": {"$link": RAW}, "mimeType": "audio/vnd.wave", "size": 12760890}

MINIMAL: Final[Mapping[str, Mapping[str, Any]]] = {
    "fm.plyr.track": {"title": "t", "artist": "a", "fileType": "wav", "createdAt": TIME},
    "fm.plyr.like": {"subject": SUBJECT, "createdAt": TIME},
    "fm.plyr.comment": {"subject": SUBJECT, "text": "!", "timestampMs": 0, "createdAt": TIME},
    "fm.plyr.list": {"items": [{"subject": SUBJECT}], "createdAt": TIME},
    "fm.plyr.actor.profile": {"createdAt": TIME},
    "fm.plyr.feed.generator": {"did": "did:web:feeds.test", "displayName": "Feed", "createdAt": TIME},
    "app.bsky.actor.profile": {"displayName": "Alice"},
    "app.bsky.graph.follow": {"subject": DID, "createdAt": TIME},
    "fm.teal.feed.play": {"trackName": "t"},
    "fm.teal.alpha.feed.play": {"trackName": "t"},
}


def did(n: int) -> str:
    return f"did:plc:{n:024}"


def rkey(n: int) -> str:
    """The TID of `n` seconds before NOW."""
    return tid_from_time_us(int((NOW - timedelta(seconds=n)).timestamp()) * 1_000_000, 0)


def record(collection: str, change: Mapping[str, Any] | None = None, *, without: str = "") -> dict[str, Any]:
    """The minimal record of `collection`, changed."""
    value = {"$type": collection} | dict(MINIMAL[collection]) | dict(change or {})
    value.pop(without, None)
    decoded: dict[str, Any] = from_json(value)
    return decoded


def incoming(uri: str, value: Mapping[str, Any], *earlier: Mapping[str, Any], fresh: bool = False) -> Incoming:
    return Incoming(uri, uri.split("/")[2], CID.of(block := encode(value)), value, NOW, NOW, len(block), earlier, fresh)
