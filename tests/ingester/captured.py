"""The captured frames and exports that stand beside the checkout, and the keys that sign them."""

import json
import struct
from datetime import datetime
from functools import cache
from typing import Any

from appview.net.did_document import identity_at
from ingester.events import CommitEvent, Event, SyncEvent, parse_event
from ingester.sync import Signer
from lexicons.frames import decode_frame
from tests.shared import fixture

CAPTURES = (
    "live-pds1",
    "live-pds2",
    "replay-pds1",
    "replay-pds2",
    "load-commits-pds1",
    "arroba/replay",
    "errors/cursor-minus-1",
    "errors/err-outdated-cursor",
    "errors/err-consumer-too-slow",
    "errors/err-cursor-999999",
    "errors/err-cursor-abc",
)
ALL_OK = ("live-pds1", "replay-pds1", "load-commits-pds1", "arroba/replay")
"""The captures in which every commit verifies; the others hold a migration, or were taken of a network since gone."""


@cache
def frames(name: str) -> list[bytes]:
    """The frames of a capture."""
    data = fixture(f"frames/{name}.bin").read_bytes()
    found, at = [], 0
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return found


@cache
def events(name: str) -> list[Event]:
    """The messages of a capture."""
    return [parse_event(decode_frame(message)) for message in frames(name)]


def commits(name: str) -> list[CommitEvent]:
    """The commits of a capture."""
    return [event for event in events(name) if isinstance(event, CommitEvent)]


def syncs(name: str) -> list[SyncEvent]:
    """The `#sync` messages of a capture."""
    return [event for event in events(name) if isinstance(event, SyncEvent)]


def dids_path(name: str) -> str:
    """Where the documents of the accounts in a capture are, below the fixtures."""
    if name.startswith("arroba/"):
        return "frames/arroba/dids.json"
    return "frames/load.dids.json" if name.startswith("load") else "frames/dids.json"


@cache
def documents(name: str) -> dict[str, Any]:
    """The entries `{"doc", "log"}` of a capture by DID."""
    found: dict[str, Any] = json.loads(fixture(dids_path(name)).read_bytes())
    return found


def signer(name: str, event: CommitEvent | SyncEvent) -> Signer:
    """The signer of an event's DID at the event's time, by the directory's log."""
    document = identity_at(event.did, documents(name)[event.did]["log"], datetime.fromisoformat(event.time), dev=True)
    return Signer(document.signing_key if document else None)
