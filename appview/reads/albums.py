"""Albums: an album is a name that tracks give, and a list of their author's, and the two may disagree.

plyr.fm writes both, and damages them: tracks of an upload that broke off name an album whose list never came to hold
them, a rename leaves the old name on some, a reorder takes the list's own name and type away (the index keeps the last
ones). So a track is on the album that holds it, whatever that is called; and of an album it is told which tracks name
it and are on none.
"""

from typing import Final

from appview.db import Connection
from appview.reads.visibility import visible

MAX_UNPLACED: Final = 100

_NAMING: Final = 500
"""How many tracks that name an album are looked at, the newest first."""

# Each album once, and no playlists (`list_items.own_album`): it does not matter how often a track is on how many.
_ON_OWN_ALBUMS: Final = "from list_items where subject = tracks.uri and own_album"

# Of a longer name, the beginning: to fold it takes its time, and a page may be full of such.
_IS_ALIKE: Final = "folded(left(own.name, 64)) = folded(left(tracks.album, 64))"

ALBUM: Final = f"""
    left join lateral (
        select own.uri
        from (select list {_ON_OWN_ALBUMS} order by list desc limit 50) as places join lists as own on own.uri = list
        order by (own.name = tracks.album or {_IS_ALIKE}) is true desc, own.sort_at desc, own.uri desc limit 1
    ) as album on tracks.album is not null
"""  # noqa: S608 - conditions of our own
"""Where this is joined to `tracks`, `album.uri` is the author's album that holds the track: the one that it names, else
the newest; null where there is none. Of more than fifty, those whose keys sort last are looked at: the newest, where
keys are TIDs.
"""


async def unplaced(connection: Connection, album: str) -> list[str]:
    """Which tracks of its author name this album, and are on none of the author's albums? The newest of them.

    None where the list is no album, has no name, or may not be shown.
    """
    rows = await connection.fetch(
        f"""
        select tracks.uri
        from lists cross join lateral (
            select uri, did, sort_at from tracks
            where tracks.did = lists.did and album is not null and md5(folded(album)) = md5(folded(lists.name))
            order by sort_at desc, uri desc limit {_NAMING}
        ) as tracks
        where lists.uri = $1 and lists.list_type = 'album' and {visible("lists.did")}
            and not exists (select {_ON_OWN_ALBUMS})
        order by tracks.sort_at desc, tracks.uri desc limit {MAX_UNPLACED}
        """,  # noqa: S608 - conditions of our own
        album,
    )
    return [row["uri"] for row in rows]
