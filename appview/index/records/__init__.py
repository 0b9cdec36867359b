"""The types of records that are indexed: the one list of them.

To add one: its lexicon, a migration, its module here, and a line in `_TYPES`.
"""

from typing import Final

from appview.index.records.base import Incoming, RecordType, Row
from appview.index.records.bsky_profile import BskyProfiles
from appview.index.records.comment import Comments
from appview.index.records.fields import Value
from appview.index.records.follow import Follows
from appview.index.records.generator import Generators
from appview.index.records.like import Likes
from appview.index.records.list import Lists
from appview.index.records.play import Plays
from appview.index.records.profile import Profiles
from appview.index.records.track import Tracks

__all__ = ["TABLES", "Incoming", "RecordType", "Row", "Value", "record_types"]

_TYPES: Final[tuple[tuple[str, type[RecordType]], ...]] = (
    ("{namespace}.track", Tracks),
    ("{namespace}.like", Likes),
    ("{namespace}.comment", Comments),
    ("{namespace}.list", Lists),
    ("{namespace}.actor.profile", Profiles),
    ("{namespace}.feed.generator", Generators),
    ("app.bsky.actor.profile", BskyProfiles),
    ("app.bsky.graph.follow", Follows),
    ("fm.teal.feed.play", Plays),
    ("fm.teal.alpha.feed.play", Plays),
)

TABLES: Final = {kind.name: kind.table for _, kind in _TYPES}
"""The projection of each type, by its name; two NSIDs may share a type."""


def record_types(namespace: str) -> dict[str, RecordType]:
    """The types by their NSIDs, ours under `namespace`, in the order in which they are written."""
    types = [kind(namespace, nsid.format(namespace=namespace)) for nsid, kind in _TYPES]
    return {kind.nsid: kind for kind in types}
