"""`python -m xrpc`: the web process."""

import argparse
import asyncio
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from typing import Final

from granian.constants import Interfaces
from granian.server.embed import Server
from starlette.types import ASGIApp

from appview import log
from appview.config import Config, ConfigError
from lexicons.catalog import LexiconError
from xrpc.app import create_app
from xrpc.signatures import SignatureError

NAME: Final = "web"
_DESCRIPTION: Final = (
    "Serve the XRPC API, /ready, /metrics and the page at / on PLYR_BIND, until SIGTERM or SIGINT; then what was asked"
    " is still answered. Without a database it starts, answers 503, and goes on once there is one. Several of these"
    " processes on one machine share the address, and so its cores."
)

CONNECTIONS: Final = 8_192
"""That a process keeps at once; most of them idle, between two questions of a client."""
BACKLOG: Final = 1_024

logger = logging.getLogger("xrpc")


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop; returns the exit code: 0 stopped, 1 broken off, 2 it could not start."""
    parser = argparse.ArgumentParser(prog="python -m xrpc", description=_DESCRIPTION)
    parser.parse_args(arguments)
    return run(parser.prog, create_app)


def run(program: str, create: Callable[[Config], ASGIApp]) -> int:
    """Serve the application that `create` makes; `program` is what speaks when it cannot."""
    try:
        config = Config.load()
        if not (config.database_url or config.database_read_url):
            raise ConfigError("PLYR_DATABASE_URL is not set; `python -m appview up` brings a database of its own")
        log.configure(config.log, NAME)
        app = create(config)
        host, port = _address(config)
    except (ConfigError, LexiconError, SignatureError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    return asyncio.run(_serve(app, host, port))


def _address(config: Config) -> tuple[str, int]:
    """Where to listen, a port chosen where none is named. Raises ConfigError when nobody can listen there."""
    host, port = config.bind
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As the server itself will: another process of ours does not stand in its way.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(f"PLYR_BIND is {host}:{port}, where nobody can listen: {error.strerror}") from None
        return host, probe.getsockname()[1]


async def _serve(app: ASGIApp, host: str, port: int) -> int:
    _open_files()
    server = Server(
        app,
        host,
        port,
        interface=Interfaces.ASGI,
        websockets=False,
        log_enabled=False,
        backlog=BACKLOG,
        # Connections count here, idle ones too: what may be in work at once is for the dispatcher to say.
        backpressure=CONNECTIONS,
    )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, server.stop)
    announcing = asyncio.create_task(_announce(host, port))
    await server.serve()
    announcing.cancel()
    return 1 if server.interrupt_children else 0


def _open_files() -> None:
    """Let this process have as many connections as the system lets it: by custom it begins with fewer."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + 1_000
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


async def _announce(host: str, port: int) -> None:
    """Log where the server listens, once it does: it does not say so itself."""
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.02)
        else:
            break
    writer.close()
    logger.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)


if __name__ == "__main__":
    CODE = main()
    logging.shutdown()
    sys.stdout.flush()
    # Threads of granian's may still be at work, and abort the process when the interpreter is taken down around them.
    os._exit(CODE)
