"""`python -m appview up`: everything in one terminal, from the database to the page."""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Final, NamedTuple

from appview.commands import Commands
from appview.commands.migrate import migrate
from appview.config import Config
from appview.embedded.folder import Lock, load_secrets, make_folder
from appview.embedded.postgres import EmbeddedPostgres
from appview.embedded.redis import EmbeddedRedis
from appview.supervisor.output import Output
from appview.supervisor.service import Service, ServiceError
from appview.supervisor.supervisor import Supervisor

_HEALTH_SECONDS: Final = 2.0
_STOP_SECONDS: Final = 20.0


def register(commands: Commands) -> None:
    """Add the command to `commands`."""
    parser = commands.add_parser(
        "up",
        help="run everything: database, Redis, ingester, worker and web",
        description="Start what is not given (Postgres without PLYR_DATABASE_URL, Redis without PLYR_REDIS_URL), apply "
        "the migrations, and run ingester, worker and web, with all they say in one log. What dies is started again. "
        "Ctrl-C stops all of it in order; a second one does not wait. Exits with 2 when it cannot start. Started by "
        "root, Postgres and Redis run as the user postgres, or nobody, who is let pass through the folders above them.",
    )
    parser.set_defaults(run=run)


class Stores(NamedTuple):
    """Where the data goes, and those of the servers for it that are ours to run."""

    database_url: str
    redis_url: str
    ours: Sequence[EmbeddedPostgres | EmbeddedRedis]


def run(_: argparse.Namespace) -> int:
    """Run until told to stop."""
    config = Config.load()
    output = Output(sys.stdout, config.log)
    folder = make_folder(config.data_dir)
    with closing(Lock(folder / "up.lock", patience=0.0)):
        port = _port(config)
        with _stores(config, folder, output) as stores:
            environment = os.environ | _settings(config, folder, port, stores)
            asyncio.run(_run(Config.load(environment), environment, stores, output))
    output.say("up", "stopped")
    return 0


@contextmanager
def _stores(config: Config, folder: Path, output: Output) -> Iterator[Stores]:
    """What is given, and for what is not a server of our own, held and ready to be run. Raises ServiceError."""
    ours: list[EmbeddedPostgres | EmbeddedRedis] = []
    database_url, redis_url = config.database_url, config.redis_url
    with ExitStack() as stack:
        if database_url is None:
            output.say("up", f"PLYR_DATABASE_URL is not set: the database is a Postgres of our own in {folder}")
            ours.append(stack.enter_context(closing(EmbeddedPostgres(folder))))
            database_url = ours[-1].url
        if redis_url is None:
            output.say("up", f"PLYR_REDIS_URL is not set: it is a Redis of our own in {folder}")
            ours.append(stack.enter_context(closing(EmbeddedRedis(folder))))
            redis_url = ours[-1].url
        for server in ours:
            for opened in server.opened:
                output.say(
                    "up", f"all users can now pass through {opened}, as the one that {server.service.name} runs as must"
                )
        yield Stores(database_url, redis_url, ours)


def _port(config: Config) -> int:
    """The port to listen on, found free. Raises ServiceError when it is not."""
    family = socket.AF_INET6 if ":" in config.bind_host else socket.AF_INET
    try:
        with socket.create_server((config.bind_host, config.bind_port), family=family) as server:
            port: int = server.getsockname()[1]
            return port
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else error
        raise ServiceError(f"PLYR_BIND {config.bind_host}:{config.bind_port} cannot be had: {why}") from None


def _settings(config: Config, folder: Path, port: int, stores: Stores) -> dict[str, str]:
    """What the processes are told beside what we were told."""
    return {
        "PLYR_DATABASE_URL": stores.database_url,
        "PLYR_REDIS_URL": stores.redis_url,
        "PLYR_DATA_DIR": str(folder),
        "PLYR_BIND": _address(config.bind_host, port),
        "PLYR_SECRET_KEY": config.secret_key or load_secrets(folder).key,
        "PLYR_LOG": "json",
        "PYTHONUNBUFFERED": "1",
    }


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def processes(config: Config, environment: Mapping[str, str]) -> tuple[Service, Service, Service]:
    """Those of the Procfile, in the order of their start: ingester, worker, web."""

    def process(name: str, *command: str) -> Service:
        return Service(
            name=name, command=(sys.executable, "-m", *command), environment=environment, stop_seconds=_STOP_SECONDS
        )

    return (
        process("ingester", "ingester", "run"),
        replace(process("worker", "dramatiq", "appview.jobs", "--processes", "1"), family=True),
        replace(process("web", "xrpc"), ready=lambda: is_healthy(reachable(config), config.bind_port)),
    )


def reachable(config: Config) -> str:
    """An address of this machine under which it reaches what listens on PLYR_BIND."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.bind_host, config.bind_host)


def is_healthy(host: str, port: int) -> bool:
    """Whether what listens there answers `/xrpc/_health`."""
    with closing(HTTPConnection(host, port, timeout=_HEALTH_SECONDS)) as connection:
        try:
            connection.request("GET", "/xrpc/_health")
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False


async def _run(config: Config, environment: Mapping[str, str], stores: Stores, output: Output) -> None:
    """Start everything and keep it running until we are told to stop. Raises ServiceError, DatabaseError."""
    stop = asyncio.Event()
    async with Supervisor(output) as supervisor:

        def told() -> None:
            if stop.is_set():
                return supervisor.kill()
            output.say("up", "stopping; once more stops at once")
            return stop.set()

        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                asyncio.get_running_loop().add_signal_handler(number, told)
        running = asyncio.create_task(supervisor.run(stop))
        starting = asyncio.create_task(_start(supervisor, config, environment, stores, output))
        try:
            await asyncio.wait([starting, running], return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                await starting
            await running
        finally:
            starting.cancel()
            running.cancel()


async def _start(
    supervisor: Supervisor, config: Config, environment: Mapping[str, str], stores: Stores, output: Output
) -> None:
    for server in stores.ours:
        await supervisor.start(server.service)
    for name in await migrate(stores.database_url):
        output.say("up", f"applied the migration {name}")
    *others, last = processes(config, environment)
    for service in others:
        supervisor.keep(service)
    web = supervisor.keep(last)
    await web.ready.wait()
    here = f"http://{_address(reachable(config), config.bind_port)}"
    output.say("up", f"the API is at {here}/xrpc/, the page for people at {here}/, the status at {here}/ready")
    output.say("up", f"the data is in {config.data_dir}; Ctrl-C stops everything")
