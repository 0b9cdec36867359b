"""`python -m appview explain`: why a record or an account is in the index, or is not."""

import argparse
import asyncio
from collections.abc import Iterator
from typing import Any

import orjson

from appview.commands import CommandError, Commands
from appview.commands.database import database, migrated
from appview.commands.text import printable
from appview.config import Config
from appview.index.records import record_types
from appview.reads.explain import Unexplainable, explain
from appview.reads.views import View


def register(commands: Commands) -> None:
    """Add the command to `commands`."""
    parser = commands.add_parser(
        "explain",
        help="why a record or an account is in the index, or is not",
        description="Say in plain sentences why a record or an account is shown or is not, and what is known of it and "
        "of its repository. Exits with 0 when it is shown and with 1 when it is not.",
    )
    parser.add_argument("subject", metavar="AT-URI-or-DID", help="the AT-URI of a record, or the DID of an account")
    parser.add_argument("--json", action="store_true", help="answer as server.explain does")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Explain."""
    config = Config.load()
    with database(config) as url:
        answer = asyncio.run(ask(url, options.subject, config.namespace))
    if options.json:
        print(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode())
    else:
        lines = list(_lines(answer))
        width = max(len(name) for name, _ in lines)
        print(printable(f"{answer['state']}: {answer['explanation']}"), end="\n\n")
        print(*(printable(f"{name:{width}}  {value}") for name, value in lines), sep="\n")
    return 0 if answer["state"] == "shown" else 1


async def ask(url: str, subject: str, namespace: str) -> View:
    """What is known of `subject` in the database at `url`. Raises CommandError when it is nothing to ask about."""
    async with migrated(url, size=1) as pool, pool.acquire() as connection:
        try:
            return await explain(connection, subject, record_types(namespace))
        except Unexplainable as error:
            raise CommandError(str(error)) from None


def _lines(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Each thing that is told, with where it stands: `repo.jobs[0].kind`."""
    if isinstance(value, dict):
        for key, item in value.items():
            if name or key not in {"state", "explanation"}:
                yield from _lines(item, f"{name}.{key}" if name else key)
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from _lines(item, f"{name}[{place}]")
    elif isinstance(value, bool):
        yield name, "yes" if value else "no"
    else:
        yield name, value
