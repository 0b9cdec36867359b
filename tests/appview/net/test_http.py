"""The client against real servers: what it asks, whom it connects to, where it follows; clients.py says who is who."""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from appview.net.errors import BadStatus, NoSuchHost, Refused, TooLarge, Unreachable
from appview.net.http import HttpClient, Limits
from appview.net.policy import HostMap, Policy
from tests.appview.net.clients import DEVELOPMENT, OUTSIDE, PRIVATE, PUBLIC, client, dns
from tests.appview.net.servers import Authority, http_answer, raw_server, site, words

# What a plain answer is


async def test_answer(dev: HttpClient) -> None:
    async with raw_server(http_answer(b"hello", "X-Rev: 3")) as server:
        answer = await dev.get(f"http://localhost:{server.port}/a?b=c", max_bytes=5, accept="text/plain")
    assert (answer.status, answer.body, answer.headers["x-rev"]) == (200, b"hello", "3")
    assert server.requests[0].startswith(b"GET /a?b=c HTTP/1.1\r\nHost: localhost:")
    assert b"Accept: text/plain\r\n" in server.requests[0]
    assert b"User-Agent: plyr-appview\r\n" in server.requests[0]


async def test_a_body_is_sent_once_and_to_nobody_else(dev: HttpClient) -> None:
    async with raw_server(http_answer(b"done")) as server:
        url = f"http://localhost:{server.port}/a"
        answer = await dev.post(url, b'{"a": 1}', max_bytes=9, headers={"Authorization": "Bearer x"})
    assert (answer.status, answer.body) == (200, b"done")
    assert server.requests[0].startswith(b"POST /a HTTP/1.1\r\n")
    for header in (b"Content-Type: application/json", b"Content-Length: 8", b"Authorization: Bearer x"):
        assert header + b"\r\n" in server.requests[0]

    elsewhere = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://localhost:1/\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(elsewhere) as server:
        with pytest.raises(BadStatus, match="status 307"):
            await dev.post(f"http://localhost:{server.port}/", b"secret", max_bytes=9)
    async with raw_server(http_answer(b"too long")) as server:
        with pytest.raises(TooLarge):
            await dev.post(f"http://localhost:{server.port}/", b"", max_bytes=3)
    async with client() as http:
        with pytest.raises(Refused):
            await http.post("http://127.0.0.1/", b"", max_bytes=1)


async def test_connections_are_reused() -> None:
    async with site() as hosts, client(DEVELOPMENT, lookup=dns([PRIVATE], [])) as http:
        hosts.pages[f"a.com:{hosts.port}", "/"] = b"x"
        for _ in range(3):  # the second lookup would find no address
            assert (await http.get(f"http://a.com:{hosts.port}/", max_bytes=1)).body == b"x"


async def test_outside_its_block() -> None:
    with pytest.raises(RuntimeError):
        await client().get("http://a.com/", max_bytes=1)


async def test_a_mapped_host_is_spoken_to_over_http() -> None:
    async with site() as hosts:
        hosts.pages["bob.pds1.test", "/x"] = b"bob"
        policy = Policy.development(HostMap.parse(f"*.pds1.test=127.0.0.1:{hosts.port}"))
        async with client(policy, lookup=dns([])) as http:
            assert (await http.get("https://bob.pds1.test/x", max_bytes=9)).body == b"bob"


async def test_nothing_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch, dev: HttpClient) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with raw_server(http_answer(b"x", "Set-Cookie: a=b; Path=/")) as server:
        for _ in range(2):
            assert (await dev.get(f"http://localhost:{server.port}/", max_bytes=1)).body == b"x"
    assert b"Cookie" not in server.requests[1]
    assert b"Authorization" not in server.requests[1]


# Addresses


@pytest.mark.parametrize(
    "addresses",
    [
        [PRIVATE],
        [PUBLIC, PRIVATE],
        [PRIVATE, PUBLIC],
        [PUBLIC, "::1"],
        [PUBLIC, "169.254.169.254"],
        ["::ffff:127.0.0.2"],
        [*[PUBLIC] * 20, PRIVATE],
        [PUBLIC, "not an address"],
        [PUBLIC, "fe80::1%lo"],
    ],
)
async def test_one_bad_address_refuses_the_answer(addresses: list[str]) -> None:
    async with (
        raw_server(http_answer(), host=PUBLIC) as outside,
        raw_server(http_answer(), port=outside.port) as inside,
    ):
        async with client(lookup=dns(addresses)) as http:
            with pytest.raises(Refused):
                await http.get(f"http://a.com:{outside.port}/", max_bytes=1)
        assert (outside.connections, inside.connections) == (0, 0)


async def test_rebinding_finds_the_vetted_address() -> None:
    async with (
        raw_server(http_answer(b"out"), host=PUBLIC) as outside,
        raw_server(http_answer(b"in"), port=outside.port) as inside,
        client(lookup=dns([PUBLIC], [PRIVATE])) as http,
    ):
        url = f"http://a.com:{outside.port}/"
        assert (await http.get(url, max_bytes=9)).body == b"out"
        # The server closed the connection; the new one needs a new answer, and that one is bad.
        with pytest.raises(Refused):
            await http.get(url, max_bytes=9)
        assert (outside.connections, inside.connections) == (1, 0)


LOOPBACK_FORMS = words("""
    127.0.0.1 127.1 0x7f.1 0x7f000001 2130706433 0177.0.0.1 0 0.0.0.0 localhost localhost. [::1] [::]
    [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1]
""")


@pytest.mark.parametrize("host", LOOPBACK_FORMS)
async def test_no_form_of_a_literal_reaches_loopback(host: str) -> None:
    async with raw_server(http_answer(b"in")) as inside, client(lookup=dns([PRIVATE])) as http:
        with pytest.raises(Refused):
            await http.get(f"http://{host}:{inside.port}/", max_bytes=9)
        assert inside.connections == 0


async def test_no_socket_is_made_to_a_bad_address() -> None:
    with pytest.raises(Refused):
        client()._make_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", (PRIVATE, 80)))
    client()._make_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC, 80))).close()


async def test_the_next_address_is_tried() -> None:
    async with raw_server(http_answer(b"x")) as server, client(DEVELOPMENT, lookup=dns(["::1", PRIVATE])) as http:
        assert (await http.get(f"http://a.com:{server.port}/", max_bytes=1)).body == b"x"


async def test_no_address() -> None:
    async with client(lookup=dns([])) as http:
        with pytest.raises(NoSuchHost):
            await http.get("http://a.com/", max_bytes=1)


async def test_nobody_listens(dev: HttpClient) -> None:
    with socket.socket() as free:
        free.bind((PRIVATE, 0))
        with pytest.raises(Unreachable):
            await dev.get(f"http://localhost:{free.getsockname()[1]}/", max_bytes=1)


async def test_slow_name_server() -> None:
    async def never(host: str) -> Sequence[str]:
        await asyncio.sleep(60)
        return [PUBLIC]

    async with client(lookup=never) as http:
        with pytest.raises(Unreachable, match="in time"):
            await http.get("http://a.com/", max_bytes=1, total=0.2)


# TLS


async def test_https(authority: Authority) -> None:
    async with raw_server(http_answer(b"x"), tls=authority.server("pds.music.net"), host=PUBLIC) as server:
        async with HttpClient(OUTSIDE, lookup=dns([PUBLIC]), tls=authority.client()) as http:
            assert (await http.get(f"https://pds.music.net:{server.port}/", max_bytes=1)).body == b"x"
            with pytest.raises(Unreachable):
                await http.get(f"https://other.music.net:{server.port}/", max_bytes=1)
        async with client() as http:
            with pytest.raises(Unreachable):
                await http.get(f"https://pds.music.net:{server.port}/", max_bytes=1)
    assert len(server.requests) == 1


async def test_redirect_from_https_to_http(authority: Authority) -> None:
    async with raw_server(http_answer(b"plain"), host=PUBLIC) as plain:
        answer = redirect(f"http://pds.music.net:{plain.port}/")
        async with raw_server(answer, tls=authority.server("pds.music.net"), host=PUBLIC) as secure:
            policy = replace(OUTSIDE, schemes=frozenset({"https"}))
            async with HttpClient(policy, lookup=dns([PUBLIC]), tls=authority.client()) as http:
                with pytest.raises(Refused, match="http URLs"):
                    await http.get(f"https://pds.music.net:{secure.port}/", max_bytes=9, redirects=3)
    assert (secure.connections, plain.connections) == (1, 0)


async def test_plain_text_where_tls_is_due() -> None:
    async with raw_server(http_answer(b"x"), host=PUBLIC) as server, client() as http:
        with pytest.raises(Unreachable):
            await http.get(f"https://a.com:{server.port}/", max_bytes=1)


# Redirects


def redirect(location: str, status: str = "302 Found") -> bytes:
    return http_answer(b"", f"Location: {location}", status=status)


@pytest.mark.parametrize("status", ["301 M", "302 F", "303 S", "307 T", "308 P"])
async def test_redirect(dev: HttpClient, status: str) -> None:
    async with (
        raw_server(http_answer(b"there")) as there,
        raw_server(redirect(f"http://localhost:{there.port}/b?c", status)) as here,
    ):
        url = f"http://localhost:{here.port}/a"
        answer = await dev.get(url, max_bytes=9, redirects=1)
        assert (answer.body, str(answer.url)) == (b"there", f"http://localhost:{there.port}/b?c")
        with pytest.raises(Refused, match="redirects more often"):
            await dev.get(url, max_bytes=9)
    assert there.connections == 1


async def test_relative_redirect(dev: HttpClient) -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(redirect("../b") if len(server.requests) == 1 else http_answer(b"b"))

    async with raw_server(script) as server:
        await dev.get(f"http://localhost:{server.port}/x/y", max_bytes=9, redirects=1)
    assert server.requests[1].startswith(b"GET /b ")


CLOSED_LOCATIONS = words("""
    http://169.254.169.254/latest/meta-data/ http://[::ffff:169.254.169.254]/ http://127.0.0.1:{port}/
    http://2130706433:{port}/ http://localhost:{port}/ //127.0.0.1:{port}/ file:///etc/passwd ftp://a.com/
    http://u:p@a.com:{port}/ javascript:x http://[::1 http://b.com:99999/ http://internal:{port}/
    http://metadata.google.internal/
""")


@pytest.mark.parametrize("location", [*CLOSED_LOCATIONS, "http://a b.com/"])
async def test_redirect_to_where_we_do_not_go(location: str) -> None:
    async with raw_server(http_answer(b"in")) as inside:
        answer = redirect(location.format(port=inside.port))
        async with raw_server(answer, host=PUBLIC) as outside, client() as http:
            with pytest.raises(Refused):
                await http.get(f"http://a.com:{outside.port}/", max_bytes=9, redirects=5)
        assert (outside.connections, inside.connections) == (1, 0)


async def test_redirect_to_a_name_that_leads_inside() -> None:
    async with (
        raw_server(redirect("http://b.com/"), host=PUBLIC) as outside,
        client(lookup=dns([PUBLIC], [PRIVATE])) as http,
    ):
        with pytest.raises(Refused, match="has the address"):
            await http.get(f"http://a.com:{outside.port}/", max_bytes=9, redirects=5)


async def test_redirect_loop(dev: HttpClient) -> None:
    async with raw_server(redirect("/")) as server:
        with pytest.raises(Refused, match="redirects more often"):
            await dev.get(f"http://localhost:{server.port}/", max_bytes=9, redirects=3)
    assert server.connections == 4


async def test_a_redirect_without_a_place(dev: HttpClient) -> None:
    async with raw_server(http_answer(b"?", status="302 Found")) as server:
        with pytest.raises(BadStatus) as caught:
            await dev.get(f"http://localhost:{server.port}/", max_bytes=9, redirects=3)
    assert caught.value.status == 302


async def test_headers_stay_with_their_origin(dev: HttpClient) -> None:
    secret = {"Authorization": "Bearer x", "DPoP": "y"}
    async with raw_server(http_answer()) as there, raw_server(redirect(f"http://localhost:{there.port}/")) as here:
        await dev.get(f"http://localhost:{here.port}/", max_bytes=9, redirects=1, headers=secret)
    assert b"Authorization: Bearer x" in here.requests[0]
    assert b"Authorization" not in there.requests[0]
    assert b"DPoP" not in there.requests[0]


async def test_headers_follow_within_their_origin(dev: HttpClient) -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(redirect("/b") if len(server.requests) == 1 else http_answer(b"b"))

    async with raw_server(script) as server:
        await dev.get(
            f"http://localhost:{server.port}/", max_bytes=9, redirects=1, headers={"Authorization": "Bearer x"}
        )
    assert b"Authorization: Bearer x" in server.requests[1]


async def test_one_deadline_for_all_hops(dev: HttpClient) -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.15)
        writer.write(redirect("/"))

    async with raw_server(script) as server:
        with pytest.raises(Unreachable, match="in time"):
            await dev.get(f"http://localhost:{server.port}/", max_bytes=9, redirects=100, total=0.4)
    assert server.connections <= 3


# Pace

QUICKER = Limits(connect=0.5, read=0.3, head=0.4, pace=1_000, pace_seconds=0.4)
"""A body is given up after 0.8 seconds at the latest."""


def slowly() -> HttpClient:
    return client(DEVELOPMENT, lookup=dns([PRIVATE]), limits=QUICKER)


async def drip(writer: asyncio.StreamWriter, bit: bytes, seconds: float = 0.1) -> None:
    for _ in range(50):
        writer.write(bit)
        await asyncio.sleep(seconds)


@pytest.mark.parametrize(
    ("start", "bit"),
    [
        ("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", b"x"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n", b"x" * 60),
        # Nothing of this is body.
        ("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\x10", b"x"),
        ("HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    ],
)
async def test_who_sends_too_slowly_is_given_up(start: str, bit: bytes) -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start.encode("latin-1"))
        await drip(writer, bit)

    async with raw_server(script) as server, slowly() as http, asyncio.timeout(2):
        with pytest.raises(Unreachable, match=r"in time|too slowly"):
            await http.get(f"http://localhost:{server.port}/", max_bytes=10_000)


async def test_who_sends_fast_enough_may_take_long() -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n")
        await drip(writer, b"x" * 200, 0.02)

    async with raw_server(script) as server, slowly() as http:
        assert len((await http.get(f"http://localhost:{server.port}/", max_bytes=10_000)).body) == 10_000


async def test_an_error_that_goes_on_and_on_is_cut() -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 9000\r\n\r\n")
        await drip(writer, b"x")

    async with raw_server(script) as server, slowly() as http, asyncio.timeout(2):
        with pytest.raises(BadStatus) as caught:
            await http.get(f"http://localhost:{server.port}/", max_bytes=10_000)
    assert set(caught.value.body) == {ord("x")}


# Statuses


async def test_status_keeps_what_was_said(dev: HttpClient) -> None:
    said = b'{"error":"RepoDeactivated"}'
    async with raw_server(http_answer(said, "X: y", status="400 Bad Request")) as server:
        with pytest.raises(BadStatus, match="localhost answered with status 400") as caught:
            await dev.get(f"http://localhost:{server.port}/?secret", max_bytes=5)
    error = caught.value
    assert (error.status, error.body, error.headers["x"], error.retry_after) == (400, said, "y", None)
    assert not error.temporary


async def test_long_error_is_cut(dev: HttpClient) -> None:
    async with raw_server(http_answer(b"x" * 1_000_000, status="404 Not Found")) as server:
        with pytest.raises(BadStatus) as caught:
            await dev.get(f"http://localhost:{server.port}/", max_bytes=5)
    assert len(caught.value.body) == 64 * 1024


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("17", 17.0),
        ("0", 0.0),
        ("999999999", 86_400.0),
        ("-1", None),
        ("soon", None),
        ("", None),
        ("9" * 5000, None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0.0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("Wed, 21 Oct 99999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 +99999999999999999999", None),
    ],
)
async def test_retry_after(dev: HttpClient, value: str, seconds: float | None) -> None:
    async with raw_server(http_answer(b"", f"Retry-After: {value}", status="429 Slow Down")) as server:
        with pytest.raises(BadStatus) as caught:
            await dev.get(f"http://localhost:{server.port}/", max_bytes=5)
    assert caught.value.retry_after == seconds
    assert caught.value.temporary


async def test_retry_after_a_date(dev: HttpClient) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    async with raw_server(http_answer(b"", f"Retry-After: {date}", status="503 Busy")) as server:
        with pytest.raises(BadStatus) as caught:
            await dev.get(f"http://localhost:{server.port}/", max_bytes=5)
    assert caught.value.retry_after is not None
    assert 85 < caught.value.retry_after <= 90


# Streams and bounds


async def test_stream(dev: HttpClient) -> None:
    chunks = b"".join(b"3e8\r\n" + bytes([n]) * 1000 + b"\r\n" for n in range(250)) + b"0\r\n\r\n"
    async with (
        raw_server(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks) as server,
        dev.stream(f"http://localhost:{server.port}/", max_bytes=250_000) as stream,
    ):
        read = [chunk async for chunk in stream]
    assert len(read) > 1
    assert b"".join(read) == b"".join(bytes([n]) * 1000 for n in range(250))


@pytest.mark.parametrize("limits", [Limits(connections_per_host=2), Limits(connections=2)])
async def test_connections_are_bounded(limits: Limits) -> None:
    async def script(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        writer.write(http_answer(b"x"))

    async with raw_server(script) as server, client(DEVELOPMENT, lookup=dns([PRIVATE]), limits=limits) as http:
        urls = [f"http://localhost:{server.port}/{n}" for n in range(8)]
        await asyncio.gather(*(http.get(url, max_bytes=1) for url in urls))
    assert (server.connections, server.most_open) == (8, 2)
