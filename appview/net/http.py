"""The one HTTP client for addresses that strangers name: what the policy refuses is neither asked nor connected to.

A name is looked up once for a connection, every address of the answer is vetted, and the connection goes to one of
these very addresses; redirects are followed by hand and vetted as a new URL. An answer is bounded in bytes (before and
after decompression), in headers and in time. No cookies, no proxies, no credentials from the environment.
"""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from appview.net.bodies import Body, Source
from appview.net.errors import (
    BadAnswer,
    BadStatus,
    NetError,
    NoSuchHost,
    NotConnected,
    Redirected,
    Refused,
    TooLarge,
    Unreachable,
)
from appview.net.lookup import Lookup
from appview.net.policy import Policy, parse_url, same_origin

USER_AGENT: Final = "plyr-appview"

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_ADDRESSES: Final = 8
"""Of one answer; more would let a stranger's zone choose whom we knock at."""
_MAX_ERROR_BODY: Final = 64 * 1024
_MAX_RETRY_AFTER: Final = 86_400


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a client. Times in seconds."""

    connections: int = 100
    connections_per_host: int = 8
    connect: float = 5.0
    """For one connection, TLS included."""
    read: float = 10.0
    """Between two reads of one answer."""
    head: float = 20.0
    """Until all headers are there, connecting included."""
    pace: int = 4_000
    """Bytes that a body must bring in a second, as the mean of each `pace_seconds`."""
    pace_seconds: float = 30.0
    header_bytes: int = 8190
    """One header line."""
    headers: int = 100
    """Header lines."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer with a status of 200-299; `url` is the one that gave it, after redirects."""

    url: URL
    status: int
    headers: Mapping[str, str]
    body: bytes


class Stream:
    """An answer with a status of 200-299 whose body is read by `async for`, once. Raises NetError while reading."""

    def __init__(self, url: URL, response: aiohttp.ClientResponse, max_bytes: int, limits: Limits) -> None:
        self.url = url
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._max_bytes = max_bytes
        self._limits = limits

    async def __aiter__(self) -> AsyncIterator[bytes]:
        clock, limits = asyncio.get_running_loop().time, self._limits
        size, last, since = 0, 0, clock()
        with _net_errors(self._response.url):
            while True:
                # What comes may hold no bytes of the body, however often it does.
                async with asyncio.timeout(limits.pace_seconds):
                    chunk = await self._response.content.readany()
                if not chunk:
                    return
                size += len(chunk)
                if size > self._max_bytes:
                    raise TooLarge(f"{self.url.raw_host} sent more than {self._max_bytes} bytes")
                if (seconds := clock() - since) >= limits.pace_seconds:
                    if size - last < limits.pace * seconds:
                        raise Unreachable(f"{self.url.raw_host} sends too slowly")
                    last, since = size, clock()
                yield chunk


class HttpClient:
    """GET and POST under one policy. Connections are kept for reuse, never shared with a client of another policy.

    Use as `async with HttpClient(policy, lookup=dns.addresses) as http`. Safe for any number of concurrent requests.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        lookup: Lookup,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
        user_agent: str = USER_AGENT,
    ) -> None:
        self.policy = policy
        self._lookup = lookup
        self._limits = limits or Limits()
        self._tls = tls
        self._user_agent = user_agent
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        limits = self._limits
        connector = aiohttp.TCPConnector(
            resolver=_VettingResolver(self.policy, self._lookup),
            use_dns_cache=False,
            limit=limits.connections,
            limit_per_host=limits.connections_per_host,
            socket_factory=self._make_socket,
            ssl=self._tls or True,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            headers={"User-Agent": self._user_agent},
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            max_headers=limits.headers,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(
        self,
        url: str | URL,
        *,
        max_bytes: int,
        redirects: int = 0,
        accept: str = "*/*",
        headers: Mapping[str, str] | None = None,
        total: float = 15.0,
    ) -> Answer:
        """The whole answer to a GET, of at most `max_bytes` after decompression and within `total` seconds.

        At most `redirects` redirects are followed; `headers` go to the origin of `url` alone. Raises NetError.
        """
        async with self.stream(
            url, max_bytes=max_bytes, redirects=redirects, accept=accept, headers=headers, total=total
        ) as stream:
            body = b"".join([chunk async for chunk in stream])
            return Answer(stream.url, stream.status, stream.headers, body)

    async def post(
        self,
        url: str | URL,
        body: Body,
        *,
        max_bytes: int,
        content_type: str = "application/json",
        length: int | None = None,
        headers: Mapping[str, str] | None = None,
        total: float = 15.0,
        wait: float | None = None,
    ) -> Answer:
        """The whole answer to a POST of `body`, bounded as that of `get`; a redirect is not followed.

        A body in chunks is announced as `length` bytes, where given, and must have them. `wait` is for a long body, or
        an answer worth waiting for: the seconds until that begins, in place of the client's limits.
        Sent once: when no answer came, nobody knows whether it was carried out. Raises NetError, and as it is whatever
        making the chunks raised.
        """
        asked = parse_url(str(url))
        deadline = asyncio.get_running_loop().time() + total
        sent = {**(headers or {}), "Accept": "*/*", "Content-Type": content_type}
        source = None
        if not isinstance(body, bytes):
            source = Source(body(), length)
            if length is not None:
                sent["Content-Length"] = str(length)
        try:
            response = await self._send(asked, sent, deadline, body if isinstance(body, bytes) else source, wait)
        except NetError:
            if source is not None and source.failure is not None:
                raise source.failure from None
            raise
        try:
            await _check(asked, response, max_bytes, self._limits)
            stream = Stream(asked, response, max_bytes, self._limits)
            answer = b"".join([chunk async for chunk in stream])
            return Answer(stream.url, stream.status, stream.headers, answer)
        finally:
            response.close()

    @asynccontextmanager
    async def stream(
        self,
        url: str | URL,
        *,
        max_bytes: int,
        redirects: int = 0,
        accept: str = "*/*",
        headers: Mapping[str, str] | None = None,
        total: float = 300.0,
        elsewhere: bool = True,
    ) -> AsyncIterator[Stream]:
        """As `get`, with the body to be read in chunks. Leaving early closes the connection.

        Without `elsewhere`, a redirect to another origin is none that is followed.
        """
        deadline = asyncio.get_running_loop().time() + total
        start = asked = parse_url(str(url))
        for _ in range(redirects + 1):
            extra = headers if headers and same_origin(start, asked) else {}
            response = await self._send(asked, {**extra, "Accept": accept}, deadline)
            try:
                location = response.headers.get("Location") if response.status in _REDIRECTS else None
                if location is None:
                    await _check(asked, response, max_bytes, self._limits)
                    yield Stream(asked, response, max_bytes, self._limits)
                    return
                asked = asked.join(parse_url(location))
                if not elsewhere and not same_origin(start, asked):
                    raise Redirected(f"{start.raw_host} sends us on to {asked.raw_host}")
            finally:
                response.close()
        raise Redirected(f"{start.raw_host} redirects more often than is allowed here")

    async def _send(
        self,
        url: URL,
        headers: Mapping[str, str],
        deadline: float,
        body: bytes | Source | None = None,
        wait: float | None = None,
    ) -> aiohttp.ClientResponse:
        """The answer's head: to a GET, or with a `body` to a POST of it."""
        if self._session is None:
            raise RuntimeError("The client is used outside its `async with` block.")
        vetted = self.policy.vet(url)
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            raise Unreachable(f"{url.raw_host} did not answer in time")
        timeout = aiohttp.ClientTimeout(
            total=left, sock_connect=self._limits.connect, sock_read=wait or self._limits.read, ceil_threshold=60
        )
        with _net_errors(url):
            async with asyncio.timeout(wait or self._limits.head):
                return await self._session.request(
                    "GET" if body is None else "POST",
                    vetted,
                    data=body,
                    headers=headers,
                    allow_redirects=False,
                    timeout=timeout,
                )

    def _make_socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """Every socket of this client: the last gate, which literal addresses and resolved names both pass."""
        family, kind, protocol, _, address = info
        ip, port = address[:2]
        if not self.policy.permits(ip, port):
            raise Refused(f"the address {ip} is not spoken to")
        return socket.socket(family=family, type=kind, proto=protocol)


class _VettingResolver(AbstractResolver):
    """Names to vetted addresses: one bad address in an answer refuses the whole of it."""

    def __init__(self, policy: Policy, lookup: Lookup) -> None:
        self._policy = policy
        self._lookup = lookup

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - aiohttp's signature; both families are taken
    ) -> list[ResolveResult]:
        mapped = self._policy.hosts.find(host)
        endpoints = [mapped] if mapped else [(address, port) for address in await self._lookup(host)]
        if not endpoints:
            raise NoSuchHost(f"{host} has no address")
        for address, at in endpoints:
            if not self._policy.permits(address, at):
                raise Refused(f"{host} has the address {address}, which is not spoken to")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=at,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address, at in endpoints[:_MAX_ADDRESSES]
        ]

    async def close(self) -> None:
        """Nothing is held."""


async def _check(url: URL, response: aiohttp.ClientResponse, max_bytes: int, limits: Limits) -> None:
    """Raise BadStatus unless the status is 200-299, TooLarge when the headers already say so."""
    if not 200 <= response.status < 300:
        raise BadStatus(
            f"{url.raw_host} answered with status {response.status}",
            status=response.status,
            headers=response.headers,
            body=await _first_bytes(response, _MAX_ERROR_BODY, limits.read),
            retry_after=_retry_after(response.headers.get("Retry-After", "")),
        )
    if response.content_length is not None and response.content_length > max_bytes:
        raise TooLarge(f"{url.raw_host} announces more than {max_bytes} bytes")


async def _first_bytes(response: aiohttp.ClientResponse, count: int, seconds: float) -> bytes:
    """What an error says, as far as it comes in time: the status is known, and an error's body may not hide it."""
    body = b""
    with suppress(NetError), _net_errors(response.url):
        async with asyncio.timeout(seconds):
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) >= count:
                    break
    return body[:count]


def _retry_after(value: str) -> float | None:
    """Seconds to wait, from a Retry-After header in either of its forms."""
    if re.fullmatch(r"[0-9]{1,10}", value):
        return min(float(value), _MAX_RETRY_AFTER)
    try:
        until = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    seconds = (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(max(seconds, 0.0), _MAX_RETRY_AFTER)


@contextmanager
def _net_errors(url: URL) -> Iterator[None]:
    """Say in our own terms what aiohttp raises. Messages name the host only: paths and queries may hold secrets."""
    host = url.raw_host
    try:
        yield
    except aiohttp.ConnectionTimeoutError as error:
        raise NotConnected(f"{host} did not answer in time") from error
    except aiohttp.ClientConnectorError as error:
        raise NotConnected(f"{host} cannot be reached") from error
    except TimeoutError as error:
        raise Unreachable(f"{host} did not answer in time") from error
    except aiohttp.InvalidURL as error:
        raise Refused(f"a URL at {host} is not well formed") from error
    except aiohttp.ClientResponseError as error:
        raise BadAnswer(f"{host} does not answer in HTTP as we take it") from error
    except aiohttp.ClientPayloadError as error:
        raise Unreachable(f"the answer of {host} broke off or does not decode") from error
    except (aiohttp.ClientError, OSError) as error:
        raise Unreachable(f"{host} cannot be reached or broke off") from error
