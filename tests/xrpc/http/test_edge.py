import logging
from collections.abc import AsyncIterator

import pytest

from tests.xrpc.client import Client, strict_client

PATHS = ("/xrpc/_health", "/xrpc/fm.plyr.nothing.atAll", "/xrpc/%0A", "/robots.txt", "/nothing", "/metrics", "/ready")


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with strict_client("postgresql://127.0.0.1:1/nowhere") as client:
        yield client


@pytest.mark.parametrize("path", PATHS)
async def test_every_answer_may_be_read_from_anywhere_and_is_what_it_says(client: Client, path: str) -> None:
    for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        answer = await client.get(path, headers=headers)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
        exposed = answer.headers["access-control-expose-headers"].split(", ")
        assert {"retry-after", "atproto-repo-rev", "atproto-content-labelers", "ratelimit-remaining"} <= set(exposed)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize("path", PATHS)
async def test_preflight(client: Client, path: str) -> None:
    headers = {
        "Origin": "https://player.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization, atproto-accept-labelers",
    }
    answer = await client.options(path, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["access-control-allow-methods"] == "GET, HEAD, POST, OPTIONS"
    assert answer.headers["access-control-allow-headers"] == "authorization, atproto-accept-labelers"
    assert answer.headers["access-control-max-age"] == "86400"


async def test_a_preflight_that_is_none_is_not_mirrored(client: Client) -> None:
    headers = {"Origin": "x", "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "<script>\x01"}
    answer = await client.options("/xrpc/a.b.c", headers=headers)
    assert answer.status_code == 204
    assert "access-control-allow-headers" not in answer.headers


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-1.2_3", True), ("a b", False), ("x" * 65, False), ("", False), ("<script>", False)]
)
async def test_request_ids(client: Client, given: str, kept: bool) -> None:
    answer = await client.get("/robots.txt", headers={"X-Request-Id": given})
    assert (answer.headers["x-request-id"] == given) is kept
    assert len(answer.headers["x-request-id"]) >= 9


async def test_the_log_has_the_path_on_one_line_and_no_secrets(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "xrpc")
    headers = {"Authorization": "Bearer hunter2", "Cookie": "session=hunter2", "X-Request-Id": "the-id"}
    await client.get("/xrpc/a.b.c%0Afake?code=hunter2", headers=headers)
    (line,) = [record.getMessage() for record in caplog.records if "the-id" in record.getMessage()]
    assert line.startswith(r"GET /xrpc/a.b.c\nfake 4")
    assert "\n" not in line
    assert "hunter2" not in caplog.text
    await client.get("/" + "x" * 5000)
    assert len(caplog.records[-1].getMessage()) < 500


async def test_machines_that_look_after_us_do_not_fill_the_log(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "xrpc.http.edge")
    await client.get("/metrics")
    assert "GET" not in caplog.text
    await client.get("/ready")
    assert "GET /ready 503" in caplog.text
