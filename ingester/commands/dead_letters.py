"""`python -m ingester dead-letters`: messages that were refused: list them, look at one, have them judged again."""

import argparse
import asyncio
import sys
from collections.abc import Callable, Coroutine
from typing import Any, Final

import orjson

from appview.commands import CommandError, Commands
from appview.commands.database import database, migrated
from appview.commands.text import printable
from appview.config import Config
from appview.db import Pool
from ingester import letters
from ingester.commands.arguments import count, did
from ingester.commands.waiting import until_done
from ingester.letters import UNWRITABLE, Letter, Which
from ingester.repo.car import read_car
from ingester.repo.errors import CarError
from ingester.sync import MAX_COMMIT_BLOCKS
from lexicons.cid import CID, DataError
from lexicons.data import decode, to_json
from lexicons.frames import FrameError, decode_frame

LIMIT: Final = 50

Work = Callable[[Config, str, Pool], Coroutine[None, None, int]]


def register(commands: Commands) -> None:
    """Add the command to `commands`."""
    parser = commands.add_parser(
        "dead-letters",
        help="list, show, retry or drop the messages that were refused",
        description="Messages that were refused are kept with their bytes and the reason, the newest ten thousand. "
        "Without an action, they are listed.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION")
    listing = actions.add_parser(
        "list", help="list them, the newest first", description="List dead letters, the newest first."
    )
    for one in (parser, listing):
        _add_filters(one)
        one.add_argument("--limit", type=count, default=LIMIT, help=f"at most so many (default {LIMIT})")
        one.add_argument("--json", action="store_true", help="one JSON object a line")
        one.set_defaults(
            run=lambda options: _run(lambda _, __, pool: _list(pool, _which(options), options.limit, options.json))
        )
    show = actions.add_parser(
        "show",
        help="show one with its message",
        description="Show a dead letter with its message, as JSON where it decodes. Exits with 1 when there is none of "
        "that number, or with --raw when its message was too large to keep.",
    )
    show.add_argument("id", type=count, metavar="ID")
    show.add_argument("--raw", action="store_true", help="write the bytes of the message, and nothing else")
    show.set_defaults(run=lambda options: _run(lambda _, __, pool: _show(pool, options.id, raw=options.raw)))
    retry = actions.add_parser(
        "retry",
        help="have them judged again, as after a fix",
        description="Have messages judged again, by the ingester that runs, or where none does, by this command. What "
        "is refused again becomes a dead letter again, with its new reason. Exits with 1 unless all were settled.",
    )
    _add_selection(retry)
    retry.set_defaults(
        run=lambda options: _run(lambda config, url, pool: _retry(config, url, pool, _selection(options)))
    )
    drop = actions.add_parser(
        "drop",
        help="delete them for good",
        description="Delete dead letters for good. Exits with 1 when one that is named is not there.",
    )
    _add_selection(drop)
    drop.set_defaults(run=lambda options: _run(lambda _, __, pool: _drop(pool, _selection(options))))


def _add_filters(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--did", type=did, help="those of this account")
    parser.add_argument("--reason", help="those refused for this reason, such as bad_signature")
    parser.add_argument("--upstream", help="those that this upstream brought")


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("ids", nargs="*", type=count, metavar="ID")
    _add_filters(parser)
    parser.add_argument("--all", action="store_true", help="all of them")


def _which(options: argparse.Namespace) -> Which:
    return Which(None, options.did, options.reason, options.upstream)


def _selection(options: argparse.Namespace) -> Which:
    """Raises CommandError where nothing is named: all of them have to be asked for."""
    which = Which(options.ids or None, options.did, options.reason, options.upstream)
    if options.all == (which != Which()):
        raise CommandError("name dead letters by their ID, --did, --reason or --upstream, or else --all of them")
    return which


def _run(work: Work) -> int:
    config = Config.load()
    with database(config) as url:
        return asyncio.run(_with_pool(config, url, work))


async def _with_pool(config: Config, url: str, work: Work) -> int:
    async with migrated(url) as pool:
        return await work(config, url, pool)


async def _list(pool: Pool, which: Which, limit: int, as_json: bool) -> int:  # noqa: FBT001 - an option of the command
    async with pool.acquire() as connection:
        found = await letters.newest(connection, which, limit)
        total = await letters.count(connection, which)
    for letter in found:
        print(_json(letter) if as_json else printable(_line(letter)))
    if len(found) < total:
        print(f"the newest {len(found):,} of {total:,}; --limit shows more", file=sys.stderr)
    elif not found:
        print("no dead letters", file=sys.stderr)
    return 0


def _json(letter: Letter) -> str:
    return orjson.dumps(letter._asdict()).decode()


def _line(letter: Letter) -> str:
    at = letter.received_at.isoformat(timespec="seconds")
    where = letter.upstream if letter.seq is None else f"{letter.upstream} {letter.seq}"
    return f"{letter.id}  {at}  {letter.reason}  {letter.did or '-'}  {where}  {letter.detail}"


async def _show(pool: Pool, number: int, *, raw: bool) -> int:
    async with pool.acquire() as connection:
        found = await letters.newest(connection, Which([number]), 1)
        frame = await letters.message(connection, number)
    if not found:
        print(f"there is no dead letter {number}", file=sys.stderr)
        return 1
    (letter,) = found
    if raw:
        if frame is None:
            print(f"the message of letter {number} was too large to keep", file=sys.stderr)
            return 1
        sys.stdout.buffer.write(frame)
        sys.stdout.buffer.flush()
        return 0
    for name, value in letter._asdict().items():
        print(printable(f"{name:<12} {'-' if value is None else value}"))
    print()
    if frame is None:
        print(f"The message was too large to keep; `resync {letter.did or 'DID'}` fetches its repository.")
        return 0
    try:
        message = to_json(decode(frame)) if letter.reason == UNWRITABLE else _message(frame)
    except (FrameError, DataError) as error:
        print(printable(f"The message cannot be read: {error}. --raw writes its bytes."))
        return 0
    print(*map(printable, orjson.dumps(message, option=orjson.OPT_INDENT_2).decode().splitlines()), sep="\n")
    return 0


def _message(frame: bytes) -> dict[str, Any]:
    """A message as JSON, what is in its blocks among it. Raises FrameError, DataError."""
    found = decode_frame(frame)
    payload = to_json(found.payload)
    try:
        car = read_car(found.payload["blocks"], max_blocks=MAX_COMMIT_BLOCKS)
        blocks = {str(CID(cid)): to_json(decode(block)) for cid, block in car.blocks.items()}
    except (KeyError, TypeError, CarError, DataError):
        pass  # then they are shown as bytes, as everything is that is no CAR
    else:
        payload["blocks"] = {"root": str(CID(car.root)), "blocks": blocks}
    return {"op": found.op, "t": found.t, "payload": payload}


async def _retry(config: Config, url: str, pool: Pool, which: Which) -> int:
    async with pool.acquire() as connection:
        last = await letters.last_letter(connection)
        retried = await letters.retry(connection, which, last)
    waited = {begun.did for begun in retried if begun.course in {"judged", "fetched"} and begun.did is not None}
    if waited:
        await until_done(config, url, pool, ("drain", "fetch"), sorted(waited))
    async with pool.acquire() as connection:
        verdicts = await letters.verdicts(connection, retried, last)
    for verdict in verdicts:
        print(printable(f"{verdict.id} {verdict.sentence}"))
    are_settled = all(verdict.settled for verdict in verdicts)
    return 0 if _are_all_there(which, len(retried)) and are_settled else 1


async def _drop(pool: Pool, which: Which) -> int:
    async with pool.acquire() as connection:
        dropped = await letters.drop(connection, which)
    print(f"{dropped:,} dropped")
    return 0 if _are_all_there(which, dropped) else 1


def _are_all_there(which: Which, found: int) -> bool:
    """Whether as many were found as were named, and at least one; says so where it is not so."""
    named = len(set(which.ids)) if which.ids else 1
    if found < named:
        print(f"{named - found:,} of these are no dead letters" if found else "there are none such", file=sys.stderr)
    return found >= named
