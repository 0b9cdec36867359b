"""Real servers on loopback that play the network's hosts: a byte-exact one, one by host and path, a name server."""

import asyncio
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


def words(table: str) -> list[str]:
    """The entries of a table that is written as text."""
    return table.split()


Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RawServer:
    """What a client did to a server that answers whatever it was told to, byte for byte."""

    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    open: int = 0
    most_open: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    left: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def raw_server(
    script: Script | bytes, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[RawServer]:
    """Reads one request a connection, then plays `script` (bytes: sends them) until the client leaves, then closes."""
    seen = RawServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        seen.open += 1
        seen.most_open = max(seen.most_open, seen.open)
        try:
            seen.requests.append(await reader.readuntil(b"\r\n\r\n"))
            seen.asked.set()
            if isinstance(script, bytes):
                writer.write(script)
                await writer.drain()
            else:
                playing = asyncio.ensure_future(script(reader, writer))
                gone = asyncio.ensure_future(reader.read())
                await asyncio.wait({playing, gone}, return_when=asyncio.FIRST_COMPLETED)
                gone.cancel()
                playing.cancel()
                await asyncio.gather(playing, gone, return_exceptions=True)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            seen.open -= 1
            seen.left.set()
            writer.close()

    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, host, port, ssl=tls, family=socket.AF_INET)
    seen.port = server.sockets[0].getsockname()[1]
    try:
        yield seen
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def http_answer(body: bytes = b"", *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Authority:
    """Signs certificates that its own clients believe."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._certificate = self._sign(self._key, self._name, x509.BasicConstraints(ca=True, path_length=0))

    def client(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self._certificate.public_bytes(Encoding.PEM).decode())

    def server(self, host: str) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = self._sign(key, name, x509.SubjectAlternativeName([x509.DNSName(host)]))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.NamedTemporaryFile() as file:
            file.write(certificate.public_bytes(Encoding.PEM))
            file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            file.flush()
            context.load_cert_chain(file.name)
        return context

    def _sign(
        self, key: ec.EllipticCurvePrivateKey, name: x509.Name, extension: x509.ExtensionType
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(extension, critical=True)
            .sign(self._key, SHA256())
        )


@dataclass
class Site:
    """Hosts by name: (host, path) to a body, a status, or a handler. Says which were asked, and how often."""

    pages: dict[tuple[str, str], "Page"] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0


class Redirect(str):
    """Where a page has gone."""

    __slots__ = ()


Said = bytes | int | Redirect
Page = Said | Callable[[], Awaitable[Said]]


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    known = Site()

    async def answer(request: web.Request) -> web.Response:
        where = (request.host, request.path)
        known.asked.append(where)
        page: Page = known.pages.get(where, 404)
        said = page if isinstance(page, Said) else await page()
        if isinstance(said, Redirect):
            return web.Response(status=302, headers={"Location": said})
        return web.Response(status=said) if isinstance(said, int) else web.Response(body=said)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    known.port = runner.addresses[0][1]
    try:
        yield known
    finally:
        await runner.cleanup()


class NameServer(asyncio.DatagramProtocol):
    """Answers from `zone`: (name, type) to values as in a zone file; None: says nothing at all."""

    def __init__(self, zone: Mapping[tuple[str, str], list[str] | None]) -> None:
        self.zone = zone
        self.asked: list[tuple[str, str]] = []
        self.address = ("", 0)
        self.transport: asyncio.DatagramTransport | None = None

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        values = self.zone.get((name, kind), [])
        if values is None:
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if values:
            response.answer.append(dns.rrset.from_text(question.name, 1, "IN", kind, *values))
        elif all(name != known for known, _ in self.zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        assert self.transport is not None
        self.transport.sendto(response.to_wire(), addr)


@asynccontextmanager
async def name_server(zone: Mapping[tuple[str, str], list[str] | None]) -> AsyncIterator[NameServer]:
    transport, server = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: NameServer(zone), local_addr=("127.0.0.1", 0)
    )
    server.transport, server.address = transport, transport.get_extra_info("sockname")
    try:
        yield server
    finally:
        transport.close()
