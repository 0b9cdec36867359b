"""`python -m tests.generator`: the generator at an address of this machine, until Ctrl-C."""

import argparse
import asyncio
from contextlib import suppress

import aiohttp
from granian.constants import Interfaces
from granian.server.embed import Server

from tests.generator.service import Settings, create_app


async def serve(settings: Settings, host: str, port: int) -> None:
    """Answer until cancelled."""
    timeout = aiohttp.ClientTimeout(total=2)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        app = create_app(settings, http)
        server = Server(app, host, port, interface=Interfaces.ASGI, websockets=False, log_enabled=False)
        serving = asyncio.create_task(server.serve())
        try:
            await asyncio.shield(serving)
        finally:
            asyncio.get_running_loop().call_soon(server.stop)
            await serving


def main() -> None:
    """Read the arguments, say what to publish, serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.generator", description=main.__doc__)
    parser.add_argument("publisher", help="the DID of the account whose record declares the feed")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--url", help="where the world reaches this service; localhost and the port, unless said")
    parser.add_argument("--appview", default="http://localhost:8080")
    parser.add_argument("--plc", default="https://plc.directory")
    given = parser.parse_args()
    settings = Settings(given.url or f"http://localhost:{given.port}", given.publisher, given.appview, given.plc)
    print(f"to be declared by the record {settings.feed}, whose did is {settings.did}")
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(settings, "127.0.0.1", given.port))


if __name__ == "__main__":
    main()
