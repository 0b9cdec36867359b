"""What the figures are held against: the least that any server has to do, on the same server program as ours.

`python -m tests.bench.limits` answers
- `/latest?cursor=…`: the page that `getFeed` answers for `latest`, byte for byte the same JSON but for the order of its
  keys, from the fewest statements there can be and without a serialiser: what a track's or an account's bytes are is
  remembered, and put together by hand;
- `/constant?size=…`: so many bytes;
- `/select`: the answer of the database to `select 1`.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import parse_qs

import asyncpg
import orjson
from starlette.types import ASGIApp, Receive, Scope, Send

from appview import db
from appview.config import Config
from appview.reads.albums import ALBUM
from appview.reads.pages import NEWEST
from appview.reads.views.media import Media
from appview.reads.views.people import PERSON, PROFILES, Faces
from appview.reads.views.tracks import Versions
from tests.bench.million.tables import NAMESPACE
from xrpc import cursors
from xrpc.__main__ import run

LIMIT: Final = 50
CONNECTIONS: Final = 10
_MEMORY: Final = 1 << 30

_PAGE: Final = f"""
    select tracks.uri, tracks.did, tracks.cid, tracks.indexed_at, tracks.sort_at, album.uri as album,
        subject_counts.likes, subject_counts.comments, subject_counts.lists, {PERSON}
    from (
        select tracks.* from tracks join actors using (did) where visible and (sort_at, uri) < ($1, $2)
        order by sort_at desc, uri desc limit {LIMIT + 1}
    ) as tracks
    join actors on actors.did = tracks.did {PROFILES}
    left join subject_counts on subject_counts.subject = tracks.uri
    {ALBUM}
    order by tracks.sort_at desc, tracks.uri desc
"""
_VALUE: Final = """
    select tracks.*, pds, value from tracks join actors using (did) join records using (uri) where uri = $1
"""
_PERSONS: Final = f"""
    select asked.did, {PERSON}
    from unnest($1::text[]) as asked (did) left join actors on actors.did = asked.did {PROFILES}
    where actors.visible is distinct from false
"""

Row: TypeAlias = asyncpg.Record
Answer: TypeAlias = Callable[[dict[str, list[str]]], Awaitable[bytes]]


class _Track(NamedTuple):
    """What never changes of a track, without its last brace; who takes part; and the name of its album, as JSON."""

    view: bytes
    features: tuple[str, ...]
    album: bytes | None


class Limits:
    """The application."""

    def __init__(self, config: Config) -> None:
        media = Media(config.policy(), config.avatar_url)
        self._url = config.database_url or ""
        self._connections: asyncio.LifoQueue[asyncpg.Connection[Row]] = asyncio.LifoQueue()
        self._made = Versions(NAMESPACE, media, 0)
        self._met = Faces(media, 0)
        self._tracks: dict[tuple[str, bytes], _Track] = {}
        self._people: dict[tuple[Any, ...], bytes] = {}
        self._paths: dict[str, Answer] = {"/latest": self._latest, "/constant": self._constant, "/select": self._select}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        body = await self._paths[scope["path"]](parse_qs(scope["query_string"].decode()))
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        for _ in range(CONNECTIONS):
            self._connections.put_nowait(await db.connect(self._url, read_only=True))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _constant(self, asked: dict[str, list[str]]) -> bytes:
        return b'"%b"' % (b"x" * (int(asked["size"][0]) - 2))

    async def _select(self, _asked: dict[str, list[str]]) -> bytes:
        connection = await self._connections.get()
        found = await connection.fetchval("select 1")
        self._connections.put_nowait(connection)
        return b"%d" % found

    async def _latest(self, asked: dict[str, list[str]]) -> bytes:
        after = cursors.decode("latest", asked["cursor"][0], datetime, str) or NEWEST
        connection = await self._connections.get()
        rows = await connection.fetch(_PAGE, *after)
        people = {row["did"]: self._person(row) for row in rows}
        tracks = [self._tracks.get((row["uri"], row["cid"])) or await self._track(connection, row) for row in rows]
        featured = [did for track in tracks for did in track.features if did not in people]
        if featured:
            people |= {row["did"]: self._person(row) for row in await connection.fetch(_PERSONS, featured)}
        self._connections.put_nowait(connection)
        shown = b",".join(_view(row, track, people) for row, track in zip(rows[:LIMIT], tracks[:LIMIT], strict=True))
        last = rows[LIMIT - 1]
        return b'{"feed":[%b],"cursor":"%b"}' % (
            shown,
            cursors.encode("latest", last["sort_at"], last["uri"]).encode(),
        )

    def _person(self, row: Row) -> bytes:
        key = tuple(row[name] for name in ("did", "handle", "display_name", "avatar", "avatar_cid", "pds"))
        person = self._people.get(key)
        if person is None:
            person = self._people[key] = orjson.dumps(self._met.of(row["did"], row))
        return person

    async def _track(self, connection: "asyncpg.Connection[Row]", row: Row) -> _Track:
        opened = await connection.fetchrow(_VALUE, row["uri"])
        assert opened is not None
        version = self._made.made(opened)
        album = orjson.dumps(version.album) if version.album else None
        track = _Track(orjson.dumps(version.view)[:-1], version.features, album)
        self._tracks[row["uri"], row["cid"]] = track
        return track


def _view(row: Row, track: _Track, people: dict[str, bytes]) -> bytes:
    view, features, album = track
    parts = [
        b'{"track":%b,"author":%b,"likeCount":%d,"commentCount":%d,"listCount":%d'
        % (view, people[row["did"]], row["likes"] or 0, row["comments"] or 0, row["lists"] or 0)
    ]
    found = [people[did] for did in features if did in people]
    if found:
        parts.append(b',"features":[%b]' % b",".join(found))
    if album is not None:
        on_list = b',"list":"%b"' % row["album"].encode() if row["album"] is not None else b""
        parts.append(b',"album":{"name":%b%b}' % (album, on_list))
    return b"".join((*parts, b"}}"))


def create(config: Config) -> ASGIApp:
    """The application, as the server wants it."""
    return Limits(config)


if __name__ == "__main__":
    sys.exit(run("limits", create))
