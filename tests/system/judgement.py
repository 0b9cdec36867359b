"""What a record says, read by the table of real records that break their schema: the oracle's own short reading of it.

Nothing of ours is imported. It covers the records that tests write, and is strict about no more than they go against.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

Judge = Callable[[str, Mapping[str, Any]], bool]

is_tid = re.compile(r"[234567a-j][234567a-z]{12}").fullmatch
is_did = re.compile(r"did:[a-z]+:[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]").fullmatch
is_at_uri = re.compile(r"at://[a-zA-Z0-9._:%-]+(/[a-zA-Z][a-zA-Z0-9.-]*(/[a-zA-Z0-9_~.:-]{1,512})?)?").fullmatch

MAX_NAME_BYTES = 2_560
MAX_TEXT_BYTES = 10_000
MAX_ITEMS = 5_000


def is_shown(collection: str, rkey: str, value: object) -> bool:
    """Whether a record of one of the collections is fit to be shown: in order, or odd in a way that is tolerated."""
    if not isinstance(value, Mapping) or value.get("$type") != collection:
        return False
    return _JUDGES[collection.removeprefix("fm.plyr.")](rkey, value)


def subject_uri(value: Mapping[str, Any]) -> str | None:
    """The uri of a strongRef-like `subject`; None when there is none."""
    subject = value.get("subject")
    uri = subject.get("uri") if isinstance(subject, Mapping) else None
    return uri if isinstance(uri, str) and is_at_uri(uri) else None


def track_uri(uri: str | None, namespace: str = "fm.plyr") -> str | None:
    """`uri` when it is one of a track by its author's DID, else None."""
    if uri is None:
        return None
    did, _, path = uri.removeprefix("at://").partition("/")
    collection, _, rkey = path.partition("/")
    return uri if is_did(did) and collection == f"{namespace}.track" and rkey else None


def item_uris(value: Mapping[str, Any]) -> list[str]:
    """The subjects of a list in order, entries without one left out."""
    return [uri for uri in map(subject_uri, filter(_is_map, value["items"])) if uri is not None]


def moment(value: Mapping[str, Any]) -> int:
    """The moment of a track that a comment is about, in milliseconds: its start when the comment does not say."""
    at = value.get("timestampMs")
    return at if isinstance(at, int) and not isinstance(at, bool) and at >= 0 else 0


def _is_map(value: object) -> bool:
    return isinstance(value, Mapping)


def _is_text(value: object, most: int, least: int = 1) -> bool:
    return isinstance(value, str) and least <= len(value.encode()) <= most


def _track(rkey: str, value: Mapping[str, Any]) -> bool:
    named = _is_text(value.get("title"), MAX_NAME_BYTES) and _is_text(value.get("artist"), MAX_NAME_BYTES, least=0)
    return bool(is_tid(rkey)) and named and _says_its_type(value)


def _says_its_type(value: Mapping[str, Any]) -> bool:
    """A track says by its fileType what it is, or its blob does."""
    blob = value.get("audioBlob")
    return isinstance(value.get("fileType"), str) or bool(isinstance(blob, Mapping) and blob.get("mimeType"))


def _like(rkey: str, value: Mapping[str, Any]) -> bool:
    return bool(is_tid(rkey)) and subject_uri(value) is not None


def _comment(rkey: str, value: Mapping[str, Any]) -> bool:
    return _like(rkey, value) and _is_text(value.get("text"), MAX_TEXT_BYTES)


def _list(rkey: str, value: Mapping[str, Any]) -> bool:
    items = value.get("items")
    return bool(is_tid(rkey)) and isinstance(items, list) and len(items) <= MAX_ITEMS


def _self(rkey: str, value: Mapping[str, Any]) -> bool:
    return rkey == "self"


def _generator(rkey: str, value: Mapping[str, Any]) -> bool:
    did = value.get("did")
    return isinstance(did, str) and bool(is_did(did)) and _is_text(value.get("displayName"), 2_400, least=0)


def _follow(rkey: str, value: Mapping[str, Any]) -> bool:
    subject = value.get("subject")
    return bool(is_tid(rkey)) and isinstance(subject, str) and bool(is_did(subject))


def _play(rkey: str, value: Mapping[str, Any]) -> bool:
    return bool(is_tid(rkey))


_JUDGES: dict[str, Judge] = {
    "track": _track,
    "like": _like,
    "comment": _comment,
    "list": _list,
    "actor.profile": _self,
    "feed.generator": _generator,
    "app.bsky.actor.profile": _self,
    "app.bsky.graph.follow": _follow,
    "fm.teal.feed.play": _play,
    "fm.teal.alpha.feed.play": _play,
}

SIGNAL = frozenset(
    f"fm.plyr.{name}" for name in ("track", "like", "comment", "list", "actor.profile", "feed.generator")
)
COMPANION = frozenset(name for name in _JUDGES if name.startswith(("app.", "fm.teal.")))
