"""`python -m ingester run`: follow the upstreams, for as long as the process lives."""

import argparse
import asyncio
import logging
import signal

from appview import log
from appview.commands import Commands
from appview.commands.database import database
from appview.config import Config
from ingester.engine import Engine, engine
from ingester.garbage import look_seldom
from ingester.leader import Fenced

FENCED = 3
"""The exit code of one that another took over from."""

logger = logging.getLogger("plyr.ingester")


def register(commands: Commands) -> None:
    """Add the command to `commands`."""
    parser = commands.add_parser(
        "run",
        help="follow the upstreams and keep the index",
        description="Follow the upstreams, prove what they bring, and keep the index. One process a shard writes; "
        "another one stands by until it is gone. Ends on SIGTERM or SIGINT, with everything that is finished written. "
        f"Exits with {FENCED} when another process has taken the shard over.",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:  # noqa: ARG001 - every command has this form
    """Run until told to stop."""
    config = Config.load()
    log.configure(config.log, "ingester")
    logging.getLogger("picows").setLevel(logging.WARNING)
    with database(config) as url:
        try:
            asyncio.run(_run(config, url))
        except Fenced as error:
            logger.error("%s", error)
            return FENCED
    return 0


async def _run(config: Config, url: str) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    opening = asyncio.create_task(_follow(config, url))
    waiting = asyncio.create_task(stopped.wait())
    await asyncio.wait({opening, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not opening.done():
        opening.cancel()
        await asyncio.wait({opening})
    if not opening.cancelled():
        opening.result()


async def _follow(config: Config, url: str) -> None:
    async with engine(config, url) as made:
        look_seldom()
        running = asyncio.create_task(made.run())
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            await _wind_down(made, running)
            raise


async def _wind_down(made: Engine, running: "asyncio.Task[None]") -> None:
    try:
        await made.stop()
    except TimeoutError:
        logger.warning("the last batch could not be written in time; it comes again with the next start")
    running.cancel()
    await asyncio.wait({running})
