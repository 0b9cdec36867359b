"""What many ask at once is answered once, and never older than was promised."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.index_writer import IndexWriter, rkey
from tests.xrpc.client import Client, config, running
from tests.xrpc.methods.conftest import index
from xrpc.answers import Answer
from xrpc.app import create_app
from xrpc.hot import Hot

__all__ = ["index"]

BOUND = 0.05


class Source:
    """Answers with the number of the asking, after a while."""

    def __init__(self, seconds: float = 0.0, size: int = 1) -> None:
        self.asked = 0
        self._seconds = seconds
        self._size = size

    async def __call__(self) -> Answer:
        self.asked += 1
        number = self.asked
        await asyncio.sleep(self._seconds)
        return Answer(f"{number:0{self._size}}".encode())


async def test_who_asks_at_once_waits_for_one_answer() -> None:
    hot, source = Hot(BOUND), Source(0.01)
    answers = await asyncio.gather(*(hot.answer("key", source) for _ in range(50)))
    assert source.asked == 1
    assert {answer.body for answer in answers} == {b"1"}
    assert (await hot.answer("other", source)).body == b"2"


async def test_an_answer_is_kept_for_so_long_after_the_asking_began() -> None:
    hot, source = Hot(BOUND), Source(0.03)
    await hot.answer("key", source)
    await asyncio.sleep(0.03)
    assert (await hot.answer("key", source)).body == b"2"


async def test_who_comes_late_does_not_wait_for_a_slow_answer_that_is_old_already() -> None:
    hot, slow = Hot(BOUND), Source(3 * BOUND)
    first = asyncio.create_task(hot.answer("key", slow))
    await asyncio.sleep(1.5 * BOUND)
    assert (await hot.answer("key", Source())).body == b"1"
    assert slow.asked == 1
    assert (await first).body == b"1"


async def test_a_failure_is_everybodys_who_waits_and_nobodys_after() -> None:
    hot = Hot(60.0)

    async def fails() -> Answer:
        await asyncio.sleep(0.01)
        raise LookupError("gone")

    failed = await asyncio.gather(*(hot.answer("key", fails) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in failed] == [LookupError] * 3
    assert (await hot.answer("key", Source())).body == b"1"


async def test_who_goes_away_leaves_the_answer_to_the_others() -> None:
    hot, source = Hot(60.0), Source(0.02)
    first = asyncio.create_task(hot.answer("key", source))
    second = asyncio.create_task(hot.answer("key", source))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).body == b"1"
    assert source.asked == 1


async def test_it_holds_no_more_than_it_may() -> None:
    hot, source = Hot(60.0, most_bytes=1_000), Source(size=300)
    for key in range(10):
        await hot.answer(key, source)
        await asyncio.sleep(0)
    assert (await hot.answer(9, source)).body == f"{10:0300}".encode()
    assert (await hot.answer(0, source)).body == f"{11:0300}".encode()
    assert hot._bytes <= 1_000


async def sent(answer: Answer, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    messages: list[Any] = []

    async def send(message: Any) -> None:
        messages.append(message)

    async def receive() -> Any:
        raise AssertionError

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    await answer({"type": "http", "method": method, "headers": named}, receive, send)
    start, body = messages
    return start["status"], {name.decode(): value.decode() for name, value in start["headers"]}, body["body"]


@pytest.mark.parametrize("known", ["{tag}", "W/{tag}", '"other", {tag}', "*", '"a","b",W/{tag}'])
async def test_what_somebody_has_is_not_sent_again(known: str) -> None:
    answer = Answer(b"{}")
    _, headers, _ = await sent(answer)
    tag = headers["etag"].removeprefix("W/")
    status, unchanged, body = await sent(answer, if_none_match=known.format(tag=tag))
    assert (status, body, unchanged["etag"]) == (304, b"", headers["etag"])
    assert {"cache-control", "vary"} <= unchanged.keys()
    assert "content-length" not in unchanged


@given(st.binary(), st.binary())
def test_a_tag_is_of_the_bytes(one: bytes, other: bytes) -> None:
    assert (Answer(one)._tag == Answer(other)._tag) is (one == other)


async def test_of_a_head_the_body_is_left_out_and_counted() -> None:
    status, headers, body = await sent(Answer(b"x" * 5_000), "HEAD")
    assert (status, headers["content-length"], body) == (200, "5000", b"")


@pytest.mark.parametrize(
    ("takes", "zipped"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("gzip; q=0, br", False), ("gzip;q=0.00", False), ("br", False)],
)
async def test_who_takes_it_gets_it_compressed(takes: str, zipped: bool) -> None:
    _, headers, body = await sent(Answer(b"x" * 5_000), accept_encoding=takes)
    assert (headers.get("content-encoding") == "gzip") is zipped
    assert int(headers["content-length"]) == len(body)
    assert (len(body) < 500) is zipped
    _, headers, _ = await sent(Answer(b"x"), accept_encoding=takes)
    assert "content-encoding" not in headers


async def test_through_the_server(database_url: str, index: IndexWriter) -> None:
    await index.write("did:plc:alice", "fm.plyr.track", rkey(1))
    async with running(create_app(config(database_url), hot_seconds=1.0)) as client:
        first = await latest(client)
        await index.write("did:plc:alice", "fm.plyr.track", rkey(0))
        assert len((await latest(client)).json()["feed"]) == 1
        # A query is itself, letter by letter; another one is asked anew.
        assert len((await client.ask("feed.getFeed", feed="latest", limit=49))["feed"]) == 2
        again = await client.get(LATEST, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        await asyncio.sleep(1.0)
        newer = await client.get(LATEST, headers={"If-None-Match": first.headers["etag"]})
        assert (newer.status_code, len(newer.json()["feed"])) == (200, 2)
        assert newer.headers["cache-control"] == "public, max-age=0, s-maxage=1"
        assert newer.headers["vary"] == "Authorization, Cookie, Accept-Encoding"


LATEST = "/xrpc/fm.plyr.feed.getFeed?feed=latest"


async def latest(client: Client) -> Any:
    return await client.get(LATEST)
