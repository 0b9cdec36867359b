"""Pages of tracks: all of them, and those of one account, newest first."""

from appview.db import Connection
from appview.reads.pages import Moment, Page, newest


async def latest(connection: Connection, *, after: Moment | None, limit: int) -> Page[Moment]:
    """What is the newest?"""
    return await newest(connection, "tracks", after=after, limit=limit)


async def by_author(connection: Connection, did: str, *, after: Moment | None, limit: int) -> Page[Moment]:
    """What did this account publish?"""
    return await newest(connection, "tracks", did, where="did = $3", after=after, limit=limit)
