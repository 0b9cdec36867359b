"""`python -m ingester audit`: does the index have what the PDSes have? Every record of every repository."""

import argparse
import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Final

from appview import log
from appview.commands import Commands
from appview.commands.database import database, migrated
from appview.commands.progress import Progress
from appview.commands.text import printable
from appview.config import Config
from appview.db import AWAY, Pool
from appview.index.rebuild import Makers
from appview.jobs import rows as jobs
from appview.net.errors import IdentityError
from ingester.commands.arguments import count, did
from ingester.commands.waiting import until_done
from ingester.comparison import PATIENCE_SECONDS, Comparer
from ingester.copies import Copies
from ingester.fetch import AUDIT
from ingester.hosts import HostError
from ingester.metrics import Metrics
from ingester.network import network
from ingester.repo.errors import RepoError

AT_ONCE: Final = 4
"""Repositories compared at the same time."""
RETRY_SECONDS: Final = 1.0
_PAGE: Final = 1_000
_MENDED: Final = ("fetch", "status")

logger = logging.getLogger("plyr.audit")


def register(commands: Commands) -> None:
    """Add the command to `commands`."""
    parser = commands.add_parser(
        "audit",
        help="compare the index with the PDSes, record by record",
        description="Fetch each repository from its own PDS, prove it, and compare it with the index: whether the "
        "account is active, the head, and every record; then every record with what is derived from it. Prints one "
        "line for each difference. Exits with 1 when there is any, repaired or not, and when a repository could not be "
        "compared. The system may run meanwhile, or not.",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--did", action="append", type=did, default=[], help="this repository, instead of all")
    which.add_argument("--sample", type=count, metavar="N", help="so many repositories at random, instead of all")
    parser.add_argument(
        "--repair",
        action="store_true",
        help="have what differs fetched again, wait until that is done, and compare it once more",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Audit; 0 when all is as the PDSes have it."""
    config = Config.load()
    log.configure(config.log, "ingester")
    logging.getLogger("plyr").setLevel(logging.WARNING)
    with database(config) as url:
        return asyncio.run(audit(config, url, options.did, sample=options.sample, repair=options.repair))


async def audit(
    config: Config,
    url: str,
    dids: Sequence[str],
    *,
    sample: int | None,
    repair: bool,
    patience: float = PATIENCE_SECONDS,
) -> int:
    """Compare `dids`, or a sample of so many, or all, and print what differs; the exit code."""
    async with migrated(url, size=2 * AT_ONCE) as pool, network(config, pool) as hosts:
        makers, http = Makers.of(config.namespace), hosts.http.patiently()
        copies = Copies(http, {}, hosts.identities, makers.types, Metrics(), config.data_dir)
        comparer = Comparer(pool, http, hosts.identities, copies, makers, patience=patience)
        if sample is not None:
            dids = [row["did"] for row in await pool.fetch("select did from repos order by random() limit $1", sample)]
        total = len(dids) or await pool.fetchval("select count(*) from repos")
        first = _Run(comparer, total)
        await first.compare(_in_turn(dids) if dids or sample else _all(pool))
        if repair and any(first.mended.values()):
            await _repair(config, url, pool, first)
            print("once more:")
            await _Run(comparer, len(first.differing)).compare(_in_turn(list(first.differing)))
    return 1 if first.found or first.failed else 0


async def _repair(config: Config, url: str, pool: Pool, first: "_Run") -> None:
    """Have done what sets right what was found, and wait for it."""
    async with pool.acquire() as connection:
        for kind in _MENDED:
            await jobs.want(connection, kind, first.mended[kind], note=AUDIT)
    await until_done(config, url, pool, _MENDED, sorted(set().union(*first.mended.values())), unit="repaired")


class _Run:
    """Repositories compared, and what was found."""

    def __init__(self, comparer: Comparer, total: int) -> None:
        self.found = 0
        self.failed = 0
        self.differing: dict[str, None] = {}
        self.mended: dict[str, set[str]] = {kind: set() for kind in _MENDED}
        """The repositories of which something is mended by jobs of a kind."""
        self._comparer = comparer
        self._compared = 0
        self._progress = Progress(total, "repositories compared")
        self._room = asyncio.Semaphore(AT_ONCE)

    async def compare(self, dids: AsyncIterator[str]) -> None:
        """Compare these, a few at a time, and print what differs, and how many do."""
        async with asyncio.TaskGroup() as tasks:
            async for subject in dids:
                await self._room.acquire()
                tasks.create_task(self._compare(subject))
        self._progress.end()
        failed = f"; {self.failed:,} could not be compared" if self.failed else ""
        print(f"{self._compared:,} repositories compared, {self.found:,} differences{failed}")

    async def _compare(self, subject: str) -> None:
        try:
            async with aclosing(self._comparer.compare(subject)) as findings:
                async for finding in findings:
                    self.differing[subject] = None
                    if finding.mended_by in self.mended:
                        self.mended[finding.mended_by].add(subject)
                    self.found += 1
                    self._say(str(finding))
            self._compared += 1
        except (HostError, IdentityError, RepoError, *AWAY) as error:
            self.failed += 1
            self._say(f"{subject}: could not be compared: {error}")
        finally:
            self._progress.at(self._compared + self.failed, f"{self.found:,} differences" if self.found else "")
            self._room.release()

    def _say(self, line: str) -> None:
        self._progress.end()
        print(printable(line))


async def _in_turn(dids: Sequence[str]) -> AsyncIterator[str]:
    for one in dict.fromkeys(dids):
        yield one


async def _all(pool: Pool) -> AsyncIterator[str]:
    """Every repository that is followed, a page at a time, once the database is there to be asked."""
    last = ""
    while True:
        try:
            rows = await pool.fetch("select did from repos where did > $1 order by did limit $2", last, _PAGE)
        except AWAY as error:
            logger.warning("waiting for the database: %s", error)
            await asyncio.sleep(RETRY_SECONDS)
            continue
        for row in rows:
            yield row["did"]
        if not rows:
            return
        last = rows[-1]["did"]
