"""What the callers ask: for every method some hundreds of requests about what is in the index, none like another.

An answer to nobody in particular is kept for a quarter of a second; so many different ones take longer to come round.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlencode, urlsplit

from appview.db import Connection
from tests.appview.accounts.tokens import Issuer
from tests.bench.load import Ask
from tests.bench.million.shape import HITS
from tests.bench.million.tables import NAMESPACE
from tests.bench.serving import SERVICE_DID
from tests.xrpc.viewer import store
from xrpc import cursors

MANY: Final = 400
DEEP_PAGE: Final = 1_000
_NEWEST: Final = 5_000
"""Readers of the newest begin within so many of them."""


class Sample(NamedTuple):
    """Things that are in the index, none of them twice."""

    tracks: Sequence[str]
    """At random."""
    hits: Sequence[tuple[str, int]]
    """The most liked, and how many likes each has."""
    authors: Sequence[str]
    titles: Sequence[str]
    handles: Sequence[str]
    lists: Sequence[str]
    """Of 50 items and more."""
    albums: Sequence[str]
    viewers: Sequence[str]
    """Accounts that like something and follow somebody."""


async def sample(connection: Connection) -> Sample:
    """Look around in the index."""
    share = 100 * 30 * MANY / await connection.fetchval("select greatest(n, 12000) from totals where name = 'track'")
    tracks = await connection.fetch(
        """
        select uri, did, title from tracks tablesample bernoulli ($1) repeatable (1)
        where exists (select from actors where actors.did = tracks.did and visible) order by md5(uri)
        """,
        min(100.0, share),
    )
    hits = await connection.fetch(
        """
        select subject, likes from subject_counts join tracks on uri = subject join actors using (did)
        where visible order by likes desc, subject limit 200
        """
    )
    lists = await connection.fetch(
        """
        select uri, list_type from lists
        where item_count >= case list_type when 'album' then 3 else 50 end
            and exists (select from actors where actors.did = lists.did and visible)
        order by md5(uri) limit $1
        """,
        4 * MANY,
    )
    accounts = await connection.fetch(
        """
        select did, handle from actors join actor_counts using (did)
        where visible and handle is not null and likes > 10
            and exists (select from follows where follows.did = actors.did)
        order by md5(did) limit $1
        """,
        MANY,
    )
    return Sample(
        [row["uri"] for row in tracks],
        [(row["subject"], row["likes"]) for row in hits],
        list(dict.fromkeys(row["did"] for row in tracks))[:MANY],
        list(dict.fromkeys(row["title"] for row in tracks))[:MANY],
        [row["handle"] for row in accounts],
        [row["uri"] for row in lists if row["list_type"] != "album"][:MANY],
        [row["uri"] for row in lists if row["list_type"] == "album"][:MANY],
        [row["did"] for row in accounts],
    )


async def latest(connection: Connection) -> list[Ask]:
    """Pages of the feed of the newest tracks, that begin at some of the newest."""
    rows = await connection.fetch("select sort_at, uri from tracks order by sort_at desc, uri desc limit $1", _NEWEST)
    some = rows[:: max(1, len(rows) // 1_000)]
    return [_ask("feed.getFeed", feed="latest", cursor=cursors.encode("latest", *row)) for row in some]


async def ranked(connection: Connection, name: str) -> list[Ask]:
    """Pages of a ranking, that begin at any of its places."""
    rows = await connection.fetch(
        """
        select at, place from rankings join ranked on ranking = id
        where id = (select id from rankings where name = $1 order by at desc limit 1) order by place
        """,
        name,
    )
    feed, _, window = name.partition("-")
    return [
        _ask("feed.getFeed", feed=feed, window=window or "all", cursor=cursors.encode(name, *row))
        for row in rows[: max(1, len(rows) - 50)]
    ]


async def likes(connection: Connection, hits: Iterable[tuple[str, int]], page: int) -> list[Ask]:
    """The page of that number, or the last, of the likes of these tracks."""
    asks = []
    for uri, count in hits:
        behind = min(50 * (page - 1), count - 50)
        if behind <= 0:
            asks.append(_ask("feed.getLikes", uri=uri))
            continue
        rows = await connection.fetch(
            """
            select sort_at, uri from likes where subject = $1 order by sort_at desc, uri desc offset $2 limit 40
            """,
            uri,
            max(0, behind - 40),
        )
        asks += [_ask("feed.getLikes", uri=uri, cursor=cursors.encode("likes", *row)) for row in rows]
    return asks


def tracks(found: Sample) -> list[Ask]:
    """25 tracks at once, of all there are."""
    return [
        _ask("feed.getTracks", uris=found.tracks[start : start + 25])
        for start in range(0, min(25 * MANY, len(found.tracks) - 24), 25)
    ]


def each(method: str, name: str, values: Iterable[str], **others: object) -> list[Ask]:
    """One request for each of `values`, which is the parameter `name`."""
    return [_ask(method, **{name: value}, **others) for value in values]


def personal(feed: str, viewers: Iterable[str]) -> list[Ask]:
    """The first page of a feed, asked by each of these accounts."""
    return [_ask("feed.getFeed", viewer, feed=feed) for viewer in viewers]


def prefixes(titles: Iterable[str]) -> list[str]:
    """What somebody has typed when most of a title is still to come."""
    return list(dict.fromkeys(title[: max(3, len(title) * 2 // 3)] for title in titles))


def misspelt(titles: Iterable[str]) -> list[str]:
    """Titles with a slip in one of their words; those without a word in which one could be are left out."""
    rng = random.Random("misspelt")
    found = []
    for title in titles:
        words = title.split()
        long = [place for place, word in enumerate(words) if len(word) >= 6 and word.isascii()]
        if long:
            place = rng.choice(long)
            words[place] = rng.choice(_SLIPS)(words[place], rng.randrange(1, len(words[place]) - 2))
            found.append(" ".join(words))
    return list(dict.fromkeys(found))


_SLIPS: Final[Sequence[Callable[[str, int], str]]] = (
    lambda word, at: word[:at] + word[at + 1] + word[at] + word[at + 2 :],
    lambda word, at: word[:at] + word[at + 1 :],
    lambda word, at: word[:at] + "x" + word[at:],
)


def _ask(method: str, viewer: str | None = None, /, **parameters: object) -> Ask:
    return Ask(f"/xrpc/{NAMESPACE}.{method}?{urlencode(parameters, doseq=True)}", viewer)


async def everything(connection: Connection, found: Sample) -> dict[str, list[Ask]]:
    """Requests of every kind, by a name that begins with the method's."""
    exact, short, wrong = found.titles, prefixes(found.titles), misspelt(found.titles)
    hits = [uri for uri, _ in found.hits]
    rankings = {f"feed.getFeed {name}": await ranked(connection, name) for name in ("trending", "top-week", "top-all")}
    return {
        "feed.getFeed latest": await latest(connection),
        **rankings,
        "feed.getFeed following": personal("following", found.viewers),
        "feed.getFeed for-you": personal("for-you", found.viewers),
        "feed.getFeedSkeleton": each(
            "feed.getFeedSkeleton",
            "cursor",
            await _cursors(connection),
            feed=f"at://{SERVICE_DID}/{NAMESPACE}.feed.generator/latest",
        ),
        "feed.getTracks": tracks(found),
        "feed.getActorTracks": each("feed.getActorTracks", "actor", found.authors),
        "feed.getActorLikes": each("feed.getActorLikes", "actor", found.viewers),
        "feed.getLikes page 1": await likes(connection, found.hits, 1),
        "feed.getLikes deep": await likes(connection, found.hits[:HITS], DEEP_PAGE),
        "feed.getComments": each("feed.getComments", "uri", hits),
        "feed.getComments newest": each("feed.getComments", "uri", hits, sort="newest"),
        "feed.getActivity": each("feed.getActivity", "limit", map(str, range(1, 101))),
        "feed.getActivity actor": each("feed.getActivity", "actor", found.viewers),
        "graph.getList": each("graph.getList", "list", found.lists),
        "graph.getList album": each("graph.getList", "list", found.albums),
        "graph.getLists": [_ask("graph.getLists", uris=found.lists[n : n + 25]) for n in range(len(found.lists) - 24)],
        "graph.getActorLists": each("graph.getActorLists", "actor", found.authors),
        "graph.getActorLists album": each("graph.getActorLists", "actor", found.authors, listType="album"),
        "graph.getListsContaining": each("graph.getListsContaining", "subject", hits),
        "actor.getProfile": each("actor.getProfile", "actor", found.handles),
        "actor.getProfiles": [
            _ask("actor.getProfiles", actors=found.viewers[n : n + 25]) for n in range(len(found.viewers) - 24)
        ],
        "actor.searchActors": each("actor.searchActors", "q", prefixes(found.handles)),
        "actor.searchActorsTypeahead": each("actor.searchActorsTypeahead", "q", (name[:3] for name in found.handles)),
        "feed.searchTracks": each("feed.searchTracks", "q", exact),
        "graph.searchLists": each("graph.searchLists", "q", exact),
        "search.searchAll exact": each("search.searchAll", "q", exact),
        "search.searchAll prefix": each("search.searchAll", "q", short),
        "search.searchAll typo": each("search.searchAll", "q", wrong),
        "feed.getActorFeeds": each("feed.getActorFeeds", "actor", found.authors),
        "feed.getSuggestedFeeds": each("feed.getSuggestedFeeds", "limit", map(str, range(1, 101))),
        "server.getStats": [_ask("server.getStats")],
        "server.explain": each("server.explain", "uri", found.tracks[:MANY]),
        "com.atproto.repo.getRecord": [_record(uri) for uri in found.tracks[:MANY]],
        "com.atproto.repo.listRecords": [_collection(did) for did in found.authors],
        "com.atproto.identity.resolveHandle": [
            Ask(f"/xrpc/com.atproto.identity.resolveHandle?{urlencode({'handle': handle})}") for handle in found.handles
        ],
    }


async def _cursors(connection: Connection) -> list[str]:
    return [parse_qs(urlsplit(ask.path).query)["cursor"][0] for ask in await latest(connection)]


def _record(uri: str) -> Ask:
    repo, collection, rkey = uri.removeprefix("at://").split("/")
    query = urlencode({"repo": repo, "collection": collection, "rkey": rkey})
    return Ask(f"/xrpc/com.atproto.repo.getRecord?{query}")


def _collection(did: str) -> Ask:
    query = urlencode({"repo": did, "collection": f"{NAMESPACE}.track"})
    return Ask(f"/xrpc/com.atproto.repo.listRecords?{query}")


async def sign_in(connection: Connection, viewers: Iterable[str]) -> None:
    """Let the index have fetched the DID documents of these accounts just now, with the keys of `Issuer`."""
    for viewer in viewers:
        await store(connection, Issuer(viewer))
