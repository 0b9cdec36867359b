"""`plans`: how Postgres answers every method at a million tracks: by which indexes, and how many rows it looks at.

Each is asked often enough that Postgres may have settled on a plan for all parameters. Exits with 1 when one of the
indexes that a method is there for is not used, a large table is read from end to end, or a step reads too many rows.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from appview import db
from tests.appview.accounts.tokens import Issuer
from tests.bench.explained import Executed, Log, explaining
from tests.bench.load import Ask
from tests.bench.million.cached import FOLDER, database, server
from tests.bench.questions import everything, sample, sign_in
from tests.bench.serving import SERVICE_DID, serving
from xrpc.methods import QUERIES

Say = Callable[[str], None]

TIMES: Final = 12
"""How often each is asked: Postgres looks at five plans for given parameters before it settles on one for all."""
MOST_ROWS: Final = 25_000
LARGE: Final = 20_000
"""Rows from which on a table is not to be read from end to end."""

NOT_ASKED: Final = frozenset(
    {"feed.describeFeedGenerator", "feed.getFeedGenerator", "feed.getFeedGenerators", "server.getPreferences"}
)
"""Of no record, of records of which there are few, or of one row by its key."""

_STREAMS: Final = ("tracks", "likes", "comments", "lists")
_SEARCHED: Final = ("search_names_pkey", "search_postings_pkey")
INDEXES: Final[Mapping[str, Sequence[str]]] = {
    "feed.getFeed latest": ("tracks_newest", "tracks_pkey", "subject_counts_pkey"),
    "feed.getFeed trending": ("ranked_pkey", "tracks_pkey"),
    "feed.getFeed top-week": ("ranked_pkey", "tracks_pkey"),
    "feed.getFeed top-all": ("ranked_pkey", "tracks_pkey"),
    "feed.getFeed following": ("follows_by_author", "tracks_by_author"),
    "feed.getFeed for-you": ("likes_by_author", "likes_of_subject", "likes_of_pair"),
    "feed.getFeedSkeleton": ("tracks_newest",),
    "feed.getTracks": ("tracks_pkey", "actors_pkey", "subject_counts_pkey", "list_items_own_albums"),
    "feed.getActorTracks": ("tracks_by_author",),
    "feed.getActorLikes": ("likes_by_author",),
    "feed.getLikes page 1": ("likes_of_subject", "likes_of_pair"),
    "feed.getLikes deep": ("likes_of_subject", "likes_of_pair"),
    "feed.getComments": ("comments_by_position",),
    "feed.getComments newest": ("comments_newest",),
    "feed.getActivity": ("tracks_newest", *(f"{table}_stream" for table in _STREAMS[1:])),
    "feed.getActivity actor": tuple(f"{table}_by_author" for table in _STREAMS),
    "graph.getList": ("list_items_pkey", "lists_pkey", "tracks_pkey"),
    "graph.getList album": ("list_items_pkey", "tracks_of_album"),
    "graph.getLists": ("lists_pkey", "list_items_pkey"),
    "graph.getActorLists": ("lists_by_author",),
    "graph.getActorLists album": ("lists_by_type",),
    "graph.getListsContaining": ("list_items_newest",),
    "actor.getProfile": ("actors_handle", "actors_pkey", "actor_counts_pkey"),
    "actor.getProfiles": ("actors_pkey", "actor_counts_pkey"),
    "actor.searchActors": _SEARCHED,
    "actor.searchActorsTypeahead": ("search_names_pkey",),
    "feed.searchTracks": _SEARCHED,
    "graph.searchLists": _SEARCHED,
    "search.searchAll exact": _SEARCHED,
    "search.searchAll prefix": _SEARCHED,
    "search.searchAll typo": (*_SEARCHED, "search_words_near"),
    "server.explain": ("records_pkey", "repos_pkey"),
    "com.atproto.repo.getRecord": ("records_pkey",),
    "com.atproto.repo.listRecords": ("records_pkey",),
    "com.atproto.identity.resolveHandle": ("actors_handle",),
}
"""By the kind of request (tests/bench/questions.py), the indexes that are there for it."""


def run(say: Say, size: str = "1m") -> int:
    """Ask everything, print what was done for it, and say by the exit code whether that will do."""
    with server() as root:
        url = database(root, size, say)
        large, asked = asyncio.run(_look(url))
        faults = [f"{method}: nobody asks it" for method in _forgotten(asked)]
        with serving(explaining(url)) as origin:
            log = Log(FOLDER / "postgres.log")
            for name, asks in asked.items():
                status = {_status(origin, ask) for ask in asks[:TIMES]}
                executed = log.taken()
                _print(name, executed)
                faults += [f"{name}: {fault}" for fault in _faults(name, status, executed, large)]
    print("\n".join(faults) or "every plan is as it should be")
    return 1 if faults else 0


def _forgotten(asked: Iterable[str]) -> set[str]:
    return set(QUERIES) - NOT_ASKED - {name.partition(" ")[0] for name in asked}


async def _look(url: str) -> tuple[frozenset[str], dict[str, list[Ask]]]:
    connection = await db.connect(url)
    found = await sample(connection)
    await sign_in(connection, found.viewers)
    asked = await everything(connection, found)
    tables = await connection.fetch("select relname from pg_class where relkind = 'r' and reltuples > $1", LARGE)
    await connection.close()
    return frozenset(row["relname"] for row in tables), asked


def _status(origin: str, ask: Ask) -> int:
    headers = {}
    if ask.viewer is not None:
        method = ask.path.removeprefix("/xrpc/").partition("?")[0]
        headers["Authorization"] = f"Bearer {Issuer(ask.viewer).token(SERVICE_DID, method, time.time())}"
    try:
        with urlopen(Request(origin + ask.path, headers=headers)) as response:  # noqa: S310 - an address of our own
            response.read()
            status: int = response.status
            return status
    except HTTPError as error:
        return error.code


def _print(name: str, executed: Sequence[Executed]) -> None:
    total, most = sum(one.milliseconds for one in executed), max((one.rows for one in executed), default=0)
    print(f"{name}: {len(executed) / TIMES:.1f} statements, {total / TIMES:.1f} ms, at most {most:,} rows")
    slowest = max(executed, key=lambda one: one.milliseconds, default=None)
    if slowest is not None:
        print(f"    {slowest.milliseconds:.1f} ms, {slowest.rows:,} rows: {slowest.query[:160]}")
        print(f"    {', '.join(sorted(frozenset().union(*(one.indexes for one in executed))))}")


def _faults(name: str, status: set[int], executed: Sequence[Executed], large: frozenset[str]) -> Iterator[str]:
    if status != {200}:
        yield f"is answered with {status}"
    used: frozenset[str] = frozenset().union(*(one.indexes for one in executed))
    for index in INDEXES.get(name, ()):
        if index not in used:
            yield f"does not use {index}"
    seen = set()
    for one in executed:
        kind = one.query, one.scanned & large, one.rows > MOST_ROWS
        if kind not in seen and (kind[1] or kind[2]):
            seen.add(kind)
            read = ", ".join(sorted(kind[1])) or "no large table"
            yield f"reads {one.rows:,} rows, and {read} from end to end: {one.query[:300]}"
