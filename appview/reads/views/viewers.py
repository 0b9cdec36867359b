"""What a caller who is signed in has to do with what is shown: the addresses of the caller's own records (VW-20)."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from appview.db import Connection
from appview.reads.views.stored import View


class Ties(NamedTuple):
    """The caller's likes by track, and follows by account: of each its earliest."""

    likes: Mapping[str, str]
    follows: Mapping[str, str]

    def to_track(self, uri: str) -> View:
        """`feed.defs#viewerState`."""
        return {"like": self.likes[uri]} if uri in self.likes else {}

    def to_account(self, did: str) -> View:
        """`actor.defs#viewerState`."""
        return {"following": self.follows[did]} if did in self.follows else {}


# One may like a track, or follow an account, any number of times: of these one entry of an index is read.
_TIES: Final = """
    select true, asked.subject, liked.uri
    from unnest($2::text[]) as asked (subject) cross join lateral (
        select uri from likes where did || ' ' || subject = $1 || ' ' || asked.subject order by sort_at limit 1
    ) as liked
    union all
    select false, asked.subject, followed.uri
    from unnest($3::text[]) as asked (subject) cross join lateral (
        select uri from follows where did = $1 and follows.subject = asked.subject order by sort_at limit 1
    ) as followed
"""


async def load_ties(
    connection: Connection, viewer: str | None, tracks: Iterable[str] = (), accounts: Iterable[str] = ()
) -> Ties | None:
    """Which of these tracks does the caller like, and which accounts follow? None where nobody is signed in."""
    if viewer is None:
        return None
    likes: dict[str, str] = {}
    follows: dict[str, str] = {}
    for is_like, subject, uri in await connection.fetch(_TIES, viewer, list(tracks), list(accounts)):
        (likes if is_like else follows)[subject] = uri
    return Ties(likes, follows)
