import asyncio
import gzip
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appview.db import Connection
from tests.xrpc.client import Client, config, running
from tests.xrpc.procedures import METHODS, catalog
from tests.xrpc.viewer import Viewer
from xrpc.app import create_app
from xrpc.bodies import MAX_JSON
from xrpc.dispatch import MOST_WRITES_EACH
from xrpc.method import InvalidOutput

ALICE = "did:plc:alice"
URI = "at://did:web:a.test/fm.plyr.track/1"
NOTE = "/xrpc/fm.plyr.test.note"
UPLOAD = "/xrpc/fm.plyr.test.upload"
CID = "bafyreig2aotx4pgpwqxotzm7i3vgyalrdfemsqr6ukdpmqrhfdvh2mcq5i"


@pytest.fixture
async def client(database_url: str, connection: Connection) -> AsyncIterator[Client]:
    """Alice, asking the samples."""
    app = create_app(config(database_url), methods=METHODS, catalog=catalog(), validate_output=True)
    async with running(app) as client:
        yield client.signed_in(await Viewer.of(connection, ALICE))


async def note(client: Client, **values: Any) -> dict[str, Any]:
    answer = await client.post(NOTE, json={"subject": {"uri": URI}, **values})
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()["said"]
    return said


async def test_what_is_given_arrives_and_nothing_else(client: Client) -> None:
    plain = {"subject": {"uri": URI}, "at": 7, "viewer": ALICE, "key": ""}
    assert await note(client) == plain
    assert await note(client, unknown=1, body=2, list_type=3) == plain
    record = {"$type": "fm.plyr.like", "cid": {"$link": CID}, "raw": {"$bytes": "AAE"}, "n": 2**53 - 1}
    assert await note(client, listType="album", at=8, record=record, items=[{"uri": URI, "more": True}]) == {
        **plain,
        "listType": "album",
        "at": 8,
        "record": record,
        "items": [{"uri": URI, "more": True}],
    }
    # Null is not the same as nothing.
    assert (await note(client, swap=None))["swap"] == "null"
    assert (await note(client, swap=CID))["swap"] == CID


@pytest.mark.parametrize(
    ("body", "type_", "status", "name"),
    [
        (b"", "application/json", 400, "InvalidRequest"),
        (b"{}", "application/json", 400, "InvalidRequest"),
        (b"[]", "application/json", 400, "InvalidRequest"),
        (b'{"subject": {}}', "application/json", 400, "InvalidRequest"),
        (b'{"subject": {"uri": "x"}}', "application/json", 400, "InvalidRequest"),
        (b'{"subject": {"uri": "%s"}, "text": "123456789"}' % URI.encode(), "application/json", 400, "InvalidRequest"),
        (b'{"subject": {"uri": "%s"}, "text": null}' % URI.encode(), "application/json", 400, "InvalidRequest"),
        (b'{"subject": {"uri": "%s"}, "at": 1.5}' % URI.encode(), "application/json", 400, "InvalidRequest"),
        (b'{"at": 1, "at": 2, "subject": {"uri": "%s"}}' % URI.encode(), "application/json", 400, "InvalidRequest"),
        (b'{"subject": {"uri": "%s"}}' % URI.encode(), "text/plain", 400, "InvalidRequest"),
        (b'{"subject": {"uri": "%s"}}' % URI.encode(), "", 400, "InvalidRequest"),
        (b"subject=1", "application/x-www-form-urlencoded", 400, "InvalidRequest"),
        (b" " * (MAX_JSON + 1), "application/json", 413, "PayloadTooLarge"),
        # Each of these values is cheap, and all of them together are not.
        (b'{"record": [%s[]]}' % (b"[]," * 300_000), "application/json", 400, "InvalidRequest"),
    ],
)
async def test_what_the_lexicon_does_not_allow_is_refused(
    client: Client, body: bytes, type_: str, status: int, name: str
) -> None:
    answer = await client.post(NOTE, content=body, headers={"content-type": type_} if type_ else {})
    assert (answer.status_code, answer.json()["error"]) == (status, name), answer.text


async def test_a_charset_is_no_other_type_and_compression_is_not_taken(client: Client) -> None:
    body = orjson.dumps({"subject": {"uri": URI}})
    charset = {"content-type": "Application/JSON; charset=utf-8"}
    assert (await client.post(NOTE, content=body, headers=charset)).status_code == 200
    zipped = {"content-type": "application/json", "content-encoding": "gzip"}
    assert (await client.post(NOTE, content=gzip.compress(body), headers=zipped)).status_code == 415


async def test_too_much_is_refused_also_where_it_is_not_announced(client: Client) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * 100_000

    answer = await client.post(NOTE, content=chunks(), headers={"content-type": "application/json"})
    assert answer.status_code == 413


async def test_nobody_writes_for_nobody(client: Client) -> None:
    answer = await client.post(NOTE, json={"subject": {"uri": URI}}, auth=httpx.Auth())
    assert (answer.status_code, answer.json()["error"]) == (401, "AuthMissing")
    # Before what they sent is looked at.
    answer = await client.post(NOTE, content=b"nonsense", auth=httpx.Auth())
    assert answer.status_code == 401


async def test_a_token_for_another_method_is_none_for_this(client: Client, connection: Connection) -> None:
    viewer = await Viewer.of(connection, ALICE)
    viewer._claims = {"lxm": "fm.plyr.test.forget"}
    answer = await client.post(NOTE, json={"subject": {"uri": URI}}, auth=viewer)
    assert (answer.status_code, answer.json()["error"]) == (401, "BadJwtLexiconMethod")


async def test_the_key_of_a_call(client: Client) -> None:
    async def said(*keys: str) -> httpx.Response:
        headers = [("Idempotency-Key", key) for key in keys]
        return await client.post(NOTE, json={"subject": {"uri": URI}}, headers=headers)

    assert (await said("a-1")).json()["said"]["key"] == "a-1"
    for bad in [("a b",), ("",), ("x" * 256,), ("a", "b")]:
        assert (await said(*bad)).status_code == 400


async def test_verbs(client: Client) -> None:
    for verb in ("GET", "HEAD", "PUT"):
        answer = await client.request(verb, NOTE)
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST, OPTIONS")
    assert (await client.options(NOTE)).status_code == 204


async def test_answers_are_kept_by_nobody(client: Client) -> None:
    answer = await client.post(NOTE, json={"subject": {"uri": URI}}, headers={"If-None-Match": "*"})
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert "etag" not in answer.headers


async def test_bytes_pass_as_they_come(client: Client) -> None:
    data = bytes(range(256)) * 1000
    answer = await client.post(UPLOAD, content=data, headers={"content-type": "Audio/MPEG; x=y"})
    digest = hashlib.sha256(data).hexdigest()
    said = {"mime": "audio/mpeg", "size": len(data), "announced": len(data), "sha256": digest}
    assert answer.json() == {"said": said}
    assert (await client.post(UPLOAD, content=data)).status_code == 400


async def test_no_input_and_no_output(client: Client) -> None:
    answer = await client.post("/xrpc/fm.plyr.test.forget")
    assert (answer.status_code, answer.content) == (200, b"")
    assert (await client.post("/xrpc/fm.plyr.test.forget", content=b"x")).status_code == 400


async def test_errors_are_those_that_are_declared(client: Client) -> None:
    answer = await client.post("/xrpc/fm.plyr.test.fail", json={"how": "declared"})
    assert (answer.status_code, answer.json()["error"]) == (400, "NotFound")
    with pytest.raises(InvalidOutput):
        await client.post("/xrpc/fm.plyr.test.fail", json={"how": "undeclared"})


async def test_who_waits_for_a_pds_keeps_nobody_else_from_writing(client: Client, connection: Connection) -> None:
    never = "/xrpc/fm.plyr.test.fail"
    waiting = [asyncio.create_task(client.post(never, json={"how": "never"})) for _ in range(MOST_WRITES_EACH + 3)]
    try:
        async with asyncio.timeout(20):
            while sum(task.done() for task in waiting) < 3:
                await asyncio.sleep(0.01)
        assert {task.result().status_code for task in waiting if task.done()} == {429}
        other = client.signed_in(await Viewer.of(connection, "did:plc:bob"))
        assert (await other.post(NOTE, json={"subject": {"uri": URI}})).status_code == 200
        # Who has a file to send has places of their own.
        assert (await client.post(UPLOAD, content=b"x", headers={"content-type": "a/b"})).status_code == 200
    finally:
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert await note(client)


@given(
    body=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=20,
        ).map(orjson.dumps),
    )
)
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_no_body_is_a_500(client: Client, body: bytes) -> None:
    answer = await client.post(NOTE, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"] == "InvalidRequest"
