"""Records of every `fm.plyr.*` type, with all that their lexicons require and little more."""

from typing import Any

from tests.network.repo import Written

TRACK = "fm.plyr.track"
LIKE = "fm.plyr.like"
COMMENT = "fm.plyr.comment"
LIST = "fm.plyr.list"
PROFILE = "fm.plyr.actor.profile"

CREATED_AT = "2026-03-01T12:00:00.000Z"


def track(title: str = "Song", **more: Any) -> dict[str, Any]:
    """A track; without `audioBlob`, one that is played from a URL."""
    record = {"$type": TRACK, "title": title, "artist": "Artist", "fileType": "mp3", "createdAt": CREATED_AT}
    playable = {} if "audioBlob" in more else {"audioUrl": "https://audio.example/1.mp3"}
    return record | playable | more


def like(subject: Written) -> dict[str, Any]:
    """A like of a record."""
    return {"$type": LIKE, "subject": subject.ref, "createdAt": CREATED_AT}


def comment(subject: Written, text: str = "Good", timestamp_ms: int = 1500) -> dict[str, Any]:
    """A comment on a track at a moment of it."""
    return {
        "$type": COMMENT,
        "subject": subject.ref,
        "text": text,
        "timestampMs": timestamp_ms,
        "createdAt": CREATED_AT,
    }


def playlist(*items: Written, name: str = "Mix") -> dict[str, Any]:
    """A playlist of tracks, in order."""
    entries = [{"subject": item.ref} for item in items]
    return {"$type": LIST, "listType": "playlist", "name": name, "items": entries, "createdAt": CREATED_AT}


def profile(bio: str = "I make songs") -> dict[str, Any]:
    """A profile; its rkey is `self`."""
    return {"$type": PROFILE, "bio": bio, "createdAt": CREATED_AT}
