import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from urllib.parse import quote

import httpx
import orjson
import pytest

from tests.xrpc.client import Client, config, running
from tests.xrpc.samples import ECHO, METHODS, catalog
from xrpc.app import create_app
from xrpc.bodies import MAX_BODY
from xrpc.method import InvalidOutput

URI = "at://did:web:a.test/fm.plyr.track/1"


NOWHERE = "postgresql://127.0.0.1:1/nowhere"


@asynccontextmanager
async def serving(url: str, *, strict: bool = True) -> AsyncIterator[Client]:
    app = create_app(config(url), methods=METHODS, catalog=catalog(), validate_output=strict)
    async with running(app) as client:
        yield client


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    """The samples, strict, of which few need a database."""
    async with serving(NOWHERE) as client:
        yield client


@pytest.fixture
async def lenient() -> AsyncIterator[Client]:
    """The samples, as in production."""
    async with serving(NOWHERE, strict=False) as client:
        yield client


def is_xrpc_error(answer: httpx.Response, status: int, name: str) -> bool:
    body = answer.json()
    return (
        answer.status_code == status
        and answer.headers["content-type"] == "application/json"
        and body["error"] == name
        and set(body) <= {"error", "message"}
        and re.fullmatch(r"[A-Z][A-Za-z]+", name) is not None
    )


async def test_arguments_arrive_typed_and_only_those_given(client: Client) -> None:
    assert await client.ask("test.echo") == {"said": {"sort": "position", "limit": 50, "all_": False}}
    asked = await client.ask(
        "test.echo", limit=7, all="true", uris=[URI, URI], numbers=[3], listType="album", actor="a.b"
    )
    assert asked["said"] == {
        "sort": "position",
        "limit": 7,
        "all_": True,
        "uris": [URI, URI],
        "numbers": [3],
        "list_type": "album",
        "actor": "a.b",
    }


@pytest.mark.parametrize(
    ("verb", "path", "status", "name"),
    [
        ("GET", "/xrpc/fm.plyr.test.nothing", 501, "MethodNotImplemented"),
        ("POST", "/xrpc/fm.plyr.test.nothing", 501, "MethodNotImplemented"),
        ("GET", "/xrpc/com.atproto.server.describeServer", 501, "MethodNotImplemented"),
        ("GET", "/xrpc/fm.plyr.track", 501, "MethodNotImplemented"),
        ("GET", "/xrpc/FM.plyr.test.echo", 501, "MethodNotImplemented"),
        ("GET", "/xrpc", 404, "XRPCNotSupported"),
        ("GET", "/xrpc/", 400, "InvalidRequest"),
        ("GET", "/xrpc/x", 400, "InvalidRequest"),
        ("GET", "/xrpc/fm.plyr", 400, "InvalidRequest"),
        ("GET", "/xrpc/fm.plyr.test.echo/", 400, "InvalidRequest"),
        ("GET", "/xrpc/fm.plyr.test.echo%23main", 400, "InvalidRequest"),
        ("GET", "/xrpc//fm.plyr.test.echo", 400, "InvalidRequest"),
        ("GET", "/xrpc/fm.plyr.test.echo%0A", 400, "InvalidRequest"),
        ("GET", "/xrpc/%00", 400, "InvalidRequest"),
        ("GET", "/xrpc/%ff%fe", 400, "InvalidRequest"),
        ("GET", "/xrpc/..%2f..%2fetc%2fpasswd", 400, "InvalidRequest"),
        ("GET", "/xrpc/" + "a." * 5000 + "b", 400, "InvalidRequest"),
        ("POST", f"/xrpc/{ECHO}", 405, "InvalidRequest"),
        ("PUT", f"/xrpc/{ECHO}", 405, "InvalidRequest"),
        ("DELETE", f"/xrpc/{ECHO}?limit=x", 405, "InvalidRequest"),
        ("PROPFIND", f"/xrpc/{ECHO}", 405, "InvalidRequest"),
        ("POST", "/xrpc/_health", 400, "InvalidRequest"),
        ("GET", f"/xrpc/{ECHO}?limit=0", 400, "InvalidRequest"),
        ("GET", f"/xrpc/{ECHO}?q=%ff", 400, "InvalidRequest"),
        ("GET", "/xrpc/fm.plyr.test.fail?how=declared", 400, "NotFound"),
        ("GET", "/xrpc/fm.plyr.test.fail?how=general", 400, "InvalidRequest"),
        ("GET", "/nothing", 404, "NotFound"),
        ("GET", "/ready/", 404, "NotFound"),
        ("GET", "/xrpcs", 404, "NotFound"),
        ("POST", "/ready", 405, "MethodNotAllowed"),
    ],
)
async def test_status_and_name(client: Client, verb: str, path: str, status: int, name: str) -> None:
    answer = await client.request(verb, path)
    assert is_xrpc_error(answer, status, name), answer.text


async def test_a_wrong_verb_is_told_the_right_ones(client: Client) -> None:
    answer = await client.post(f"/xrpc/{ECHO}")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    options = await client.options(f"/xrpc/{ECHO}")
    assert (options.status_code, options.headers["allow"], options.content) == (204, "GET, HEAD, OPTIONS", b"")


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 200),
        (b"", {"content-length": "0"}, 200),
        (b"", {"transfer-encoding": "chunked"}, 200),
        (b"{}", {}, 400),
        (b"{}", {"transfer-encoding": "chunked"}, 400),
        (b"{}", {"content-length": "nonsense"}, 400),
        (b"{}", {"content-length": "²"}, 400),
        (b"x" * (MAX_BODY + 1), {}, 413),
        (b"{}", {"content-length": "9" * 5000}, 413),
    ],
)
async def test_a_query_has_no_body(client: Client, body: bytes, headers: dict[str, str], status: int) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    answer = await client.request("GET", f"/xrpc/{ECHO}", content=body, headers=raw)
    assert answer.status_code == status
    assert status == 200 or is_xrpc_error(answer, status, {400: "InvalidRequest", 413: "PayloadTooLarge"}[status])


async def test_a_body_in_chunks_is_refused_at_its_first_byte(client: Client) -> None:
    sent = []

    async def body() -> AsyncIterator[bytes]:
        for chunk in (b"", b"", b"x" * 100_000, b"y" * 100_000):
            sent.append(chunk)
            yield chunk

    answer = await client.request("GET", f"/xrpc/{ECHO}", content=body())
    assert is_xrpc_error(answer, 400, "InvalidRequest")
    assert b"y" * 100_000 not in sent


async def test_parameters_are_looked_at_before_the_body(client: Client) -> None:
    answer = await client.request("GET", f"/xrpc/{ECHO}?limit=0", content=b"{}")
    assert answer.json()["message"] == "limit is less than 1."


async def test_a_bug_is_a_500_that_says_nothing(lenient: Client, caplog: pytest.LogCaptureFixture) -> None:
    for how in ("bug", "not JSON", "surrogate"):
        answer = await lenient.get("/xrpc/fm.plyr.test.fail", params={"how": how})
        assert is_xrpc_error(answer, 500, "InternalServerError")
        assert answer.json()["message"] == "Internal Server Error"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert answer.headers["x-request-id"] in caplog.text
    assert "hunter2" in caplog.text, "the log does have the traceback"


@pytest.mark.parametrize("how", ["not promised", "a fraction", "no answer"])
async def test_an_answer_that_the_lexicon_does_not_allow_fails_the_test(
    client: Client, lenient: Client, how: str
) -> None:
    with pytest.raises(InvalidOutput, match=r"fm\.plyr\.test\.fail answers what its lexicon does not allow"):
        await client.get("/xrpc/fm.plyr.test.fail", params={"how": how})
    assert (await lenient.get("/xrpc/fm.plyr.test.fail", params={"how": how})).status_code == 200


async def test_a_record_of_any_depth_is_answered(client: Client) -> None:
    assert (await client.ask("test.fail", how="deep"))["said"]["deeper"]["deeper"]


async def test_an_error_that_the_lexicon_does_not_declare_fails_the_test(client: Client, lenient: Client) -> None:
    with pytest.raises(InvalidOutput, match="fails with Surprise, which its lexicon does not declare"):
        await client.get("/xrpc/fm.plyr.test.fail?how=undeclared")
    assert is_xrpc_error(await lenient.get("/xrpc/fm.plyr.test.fail?how=undeclared"), 400, "Surprise")


async def test_head_is_get_without_the_body_being_another(client: Client) -> None:
    got, headed = await client.get(f"/xrpc/{ECHO}"), await client.head(f"/xrpc/{ECHO}")
    assert headed.status_code == 200
    assert headed.headers["content-length"] == got.headers["content-length"]
    assert (await client.head("/xrpc/fm.plyr.test.nothing")).status_code == 501


async def test_the_context_is_that_of_the_request(client: Client) -> None:
    began = datetime.now(UTC)
    said = (await client.ask("test.who", actor="alice.test"))["said"]
    assert (said["actor"], said["viewer"]) == ("alice.test", None)
    assert began <= datetime.fromisoformat(said["now"]) <= datetime.now(UTC)


async def test_a_statement_that_takes_too_long_is_a_503_and_leaves_the_pool_whole(database_url: str) -> None:
    async with serving(database_url) as client:
        answers = await asyncio.gather(*[client.get("/xrpc/fm.plyr.test.sleep?seconds=30") for _ in range(15)])
        for answer in answers:
            assert is_xrpc_error(answer, 503, "NotEnoughResources")
            assert answer.headers["retry-after"] == "5"
        assert (await client.get("/xrpc/fm.plyr.test.sleep?seconds=0")).status_code == 200


async def test_no_database_is_a_503(client: Client) -> None:
    answer = await client.get("/xrpc/fm.plyr.test.run?sql=select+1")
    assert is_xrpc_error(answer, 503, "NotEnoughResources")
    assert answer.headers["retry-after"] == "5"


async def test_readers_cannot_write(database_url: str) -> None:
    async with serving(database_url, strict=False) as client:
        assert (await client.ask("test.run", sql="select 1"))["said"] == {"result": 1}
        answer = await client.get("/xrpc/fm.plyr.test.run", params={"sql": "delete from actors"})
        assert is_xrpc_error(answer, 500, "InternalServerError")


async def test_the_time_taken_and_the_errors_are_counted(client: Client) -> None:
    await client.ask("test.echo")
    await client.refused("test.echo", limit="0")
    await client.get("/xrpc/fm.plyr.test.nothing")
    await client.get("/xrpc/" + quote('a"}\n'))
    text = (await client.get("/metrics")).text
    assert 'plyr_xrpc_seconds_count{method="fm.plyr.test.echo"} 2.0' in text
    assert 'plyr_xrpc_errors_total{error="InvalidRequest",method="fm.plyr.test.echo"} 1.0' in text
    assert 'plyr_xrpc_errors_total{error="MethodNotImplemented",method="unknown"} 1.0' in text
    assert 'plyr_xrpc_errors_total{error="InvalidRequest",method="unknown"} 1.0' in text


async def test_every_query_string_is_answered_in_xrpc(client: Client) -> None:
    for odd in ("?", "?=", "?&=&", "?limit=%", "?limit=%GG", "?a=" + "x" * 60_000, "?" + "limit=1&" * 400):
        answer = await client.get(f"/xrpc/{ECHO}{odd}")
        assert answer.status_code in {200, 400}
        assert orjson.loads(answer.content).keys() <= {"said", "error", "message"}
