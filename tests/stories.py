"""What happened, told in lines, so that a test of a feed is data: records in, order out.

bob made song 30h         an account, what it did, to what, and how many hours before the time of the index
ann liked song 3h         also: played, unliked, unmade, commented; the age of what is undone does not matter
ann follows bob 90h       also: unfollows
bob is hidden             also: is shown

Names are free: `bob` is `did:plc:bob`, and `song` the track that `bob` made.
"""

from typing import Any, Final

from lexicons.formats import tid_from_time_us
from tests.index_writer import IndexWriter, ref

_COLLECTIONS: Final = {
    "made": "fm.plyr.track",
    "liked": "fm.plyr.like",
    "commented": "fm.plyr.comment",
    "played": "fm.teal.feed.play",
    "follows": "app.bsky.graph.follow",
}
_UNDOES: Final = {"unmade": "made", "unliked": "liked", "unfollows": "follows"}


def did(name: str) -> str:
    """The account of that name."""
    return f"did:plc:{name}"


class Story:
    """An index to which things happen; it all lies `ago` hours further back."""

    def __init__(self, index: IndexWriter, *, ago: float = 0.0) -> None:
        self._index = index
        self._ago = ago
        self._tracks: dict[str, str] = {}
        self._records: dict[tuple[str, str, str], str] = {}
        self._told = 0

    async def tell(self, text: str) -> None:
        """Let these lines happen, in this order."""
        for line in filter(None, map(str.strip, text.splitlines())):
            who, verb, what, *age = line.split()
            if verb == "is":
                await self._index.set_status(did(who), active=what == "shown")
            elif verb in _UNDOES:
                await self._index.delete(self._records.pop((who, _UNDOES[verb], what)))
            else:
                await self._write(who, verb, what, float(age[0].removesuffix("h")))

    def uri(self, track: str) -> str:
        """The address of a track."""
        return self._tracks[track]

    def name(self, uri: str) -> str:
        """The track at an address."""
        return next(name for name, known in self._tracks.items() if known == uri)

    def names(self, uris: list[str]) -> str:
        """The tracks at these addresses, with spaces between."""
        return " ".join(map(self.name, uris))

    def record(self, who: str, verb: str, what: str) -> str:
        """The address of what somebody did."""
        return self._records[who, verb, what]

    async def _write(self, who: str, verb: str, what: str, hours: float) -> None:
        self._told += 1
        key = tid_from_time_us(
            round((self._index.now.timestamp() - (self._ago + hours) * 3600) * 1_000_000), self._told
        )
        fields: dict[str, Any]
        if verb == "made":
            self._tracks[what] = f"at://{did(who)}/fm.plyr.track/{key}"
            fields = {"title": what}
        elif verb == "follows":
            fields = {"subject": did(what)}
        elif verb == "played":
            fields = {"trackName": what, "originUri": self._tracks[what]}
        else:
            fields = {"subject": ref(self._tracks[what])}
        self._records[who, verb, what] = await self._index.write(did(who), _COLLECTIONS[verb], key, **fields)
