"""The page at `/`, as text: what it says of the index, in every state that this can be in."""

import re
from datetime import UTC, datetime, timedelta
from html import escape, unescape

import pytest

from appview.db import Connection
from tests.index_writer import IndexWriter, ref, rkey
from tests.xrpc.client import Client, config, running, strict_client
from tests.xrpc.http.shards import healthy, says, upstream
from tests.xrpc.methods.world import make_world
from xrpc.app import create_app
from xrpc.http.page import CACHE_SECONDS
from xrpc.methods import METHODS, QUERIES
from xrpc.signatures import by_nsid

ALICE = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
AWAY = {"/ready": 503, "/account": 501}
"""No ingester runs, and there is no secret to keep accounts by."""
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;"


@pytest.fixture
def index(connection: Connection) -> IndexWriter:
    return IndexWriter(connection)


async def read(client: Client, status: int = 200) -> str:
    answer = await client.get("/")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert len(answer.content) < 60_000
    return answer.text


def asked(page: str) -> list[str]:
    """Where the links of the methods lead."""
    return [unescape(url) for url in re.findall(r'<a class="ask" href="([^"]*)"', page)]


async def made(connection: Connection, uri: str, ago: timedelta) -> None:
    await connection.execute("update tracks set sort_at = now() - $2::interval where uri = $1", uri, ago)


async def test_an_empty_index(client: Client) -> None:
    page = await read(client)
    assert "Not up to date" in page
    assert "No ingester has run yet." in page
    assert "None is here yet." in page
    # What wants nothing that is not here: of a feed's skeleton the address is our own.
    assert "/xrpc/fm.plyr.feed.getFeed?feed=latest&limit=5" in asked(page)
    assert "/xrpc/fm.plyr.server.getStats" in asked(page)
    assert not [url for url in asked(page) if "uri=" in url or "actor=" in url]


async def test_every_method_is_there_and_every_link_leads_to_an_answer(client: Client, index: IndexWriter) -> None:
    await make_world(index)
    page = await read(client)
    for nsid in by_nsid(METHODS, "fm.plyr"):
        group, _, name = nsid.rpartition(".")
        assert f'<h3 class="nsid"><span>{group}.</span><wbr>{name}</h3>' in page
    links = asked(page)
    # Of its own nobody asks for their preferences, or changes anything.
    assert len(links) == len(QUERIES) - 1
    links += [unescape(url) for url in re.findall(r'href="(/[^"]*)"', page)]
    for link in links:
        answer = await client.get(link)
        expected = AWAY.get(link, 200)
        assert answer.status_code == expected, link
        if link.startswith(("/xrpc/fm.plyr.feed", "/xrpc/fm.plyr.graph")):
            assert [] not in answer.json().values(), f"{link} has nothing to show"


async def test_the_newest_tracks(client: Client, index: IndexWriter, connection: Connection) -> None:
    await index.account(ALICE, handle="alice.test")
    old = await index.write(ALICE, "fm.plyr.track", rkey(2), title="Old song", artist="Alice & Co")
    new = await index.write(ALICE, "fm.plyr.track", rkey(1), title="New song", imageUrl="https://covers.test/1.png")
    await index.write(ALICE, "fm.plyr.like", rkey(1), subject=ref(new))
    await index.write(ALICE, "fm.plyr.comment", rkey(1), subject=ref(new))
    await index.write(ALICE, "fm.plyr.comment", rkey(2), subject=ref(new))
    await made(connection, old, timedelta(days=400))
    await made(connection, new, timedelta(minutes=3, seconds=5))
    page = await read(client)
    assert page.index("New song") < page.index("Old song")
    for said in (
        "Alice &amp; Co",
        "@alice.test",
        "3 minutes ago",
        " · 1\N{NO-BREAK SPACE}like · 2\N{NO-BREAK SPACE}comments",
        'src="https://covers.test/1.png"',
    ):
        assert said in page
    assert f"{datetime.now(UTC) - timedelta(days=400):%B %Y}" in page
    assert f'href="/xrpc/fm.plyr.feed.getTracks?uris={old.replace("/", "%2F")}"' in page


async def test_what_strangers_write_stays_text(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE, handle=None)
    image = "https://covers.test/%22onerror=alert(3)//'x"
    for n in range(12):
        text = HOSTILE + "\u202e" + "x" * 250
        await index.write(ALICE, "fm.plyr.track", rkey(n), title=text, artist=text, imageUrl=image)
    page = await read(client)
    assert "<script" not in page
    assert page.count(escape(HOSTILE)) == 36
    assert "x" * 150 not in page
    assert ALICE in page  # instead of handle.invalid
    assert "handle.invalid" not in page


@pytest.mark.parametrize(
    ("said", "title", "reason"),
    [
        (healthy(), "Up to date", None),
        (healthy(catching_up=True), "Catching up with the network", "is catching up."),
        (
            healthy(upstreams=[upstream(state="waiting", error="it did not answer <in time>")]),
            "Not up to date: this is what was indexed before",
            "is waiting since 2026-01-01T00:00:00Z: it did not answer &lt;in time&gt;.",
        ),
    ],
)
async def test_how_fresh_it_is(
    client: Client, connection: Connection, said: object, title: str, reason: str | None
) -> None:
    await says(connection, said)  # type: ignore[arg-type]
    page = await read(client)
    assert f'<h2 id="state">{title}</h2>' in page
    assert ("<ul><li>" in page) == (reason is not None)
    assert reason is None or reason in page
    assert 'last word from the network <time datetime="2026-01-01T00:00:05.000Z">' in page


async def test_it_is_made_once_a_second(client: Client, index: IndexWriter) -> None:
    await index.account(ALICE, handle="alice.test")
    first = await read(client)
    await index.write(ALICE, "fm.plyr.track", rkey(0), title="Just now")
    assert await read(client) == first
    page = client.app.routes[0].endpoint.__self__  # type: ignore[attr-defined] # the one that is bound there
    page._made_at -= CACHE_SECONDS
    assert "Just now" in await read(client)


async def test_nothing_is_run_and_nobody_else_is_asked_but_for_covers(client: Client) -> None:
    answer = await client.get("/")
    page = answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
    assert "img-src https: http: data:;" in answer.headers["content-security-policy"]  # development
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in answer.headers
    assert not re.search(r"<script|<iframe|<form|<base| on\w+=|javascript:| style=|@import|url\(", page)
    assert (await client.head("/")).status_code == 200
    assert (await client.post("/")).status_code == 405


async def test_in_production_covers_come_over_https(database_url: str) -> None:
    async with strict_client(database_url, PLYR_DEV="0") as client:
        assert "img-src https: data:;" in (await client.get("/")).headers["content-security-policy"]


async def test_without_a_database_it_says_so() -> None:
    app = create_app(config("postgresql://nobody@127.0.0.1:1/none"))
    async with running(app) as client:
        page = await read(client, 503)
        assert "The database does not answer at present." in page
        assert "</span><wbr>getTracks</h3>" in page
        assert "/xrpc/fm.plyr.server.getStats" in asked(page)
        answer = await client.get("/")
        assert answer.headers["retry-after"] == "5"


async def test_without_tables_it_says_so(client: Client, connection: Connection) -> None:
    await connection.execute("drop table shards cascade")
    assert "The database has no tables yet." in await read(client, 503)
