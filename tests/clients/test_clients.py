"""Clients whose types were generated from the lexicons, compiled, and asking the running server."""

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from appview import db
from tests.clients.setup import LEXICONS, MADE, PYTHON_PACKAGE, generate, install, ran
from tests.index_writer import IndexWriter
from tests.network.setup import NODE, SetupError, one_at_a_time
from tests.xrpc.methods.world import ALICE, make_world
from tests.xrpc.processes import web
from xrpc.methods import METHODS


class Server(NamedTuple):
    """The arguments of a program: a server, and what is there to be asked about."""

    url: str
    handle: str
    track: str
    list_: str


@pytest.fixture(scope="module")
def made() -> Path:
    """Where the clients are."""
    try:
        with one_at_a_time("clients"):
            install()
            return generate()
    except SetupError as error:
        pytest.skip(f"there are no clients: {error}")


@pytest.fixture
def server(database_url: str) -> Iterator[Server]:
    """The running server, over an index with something in it."""

    async def fill() -> tuple[str, str]:
        connection = await db.connect(database_url)
        world = await make_world(IndexWriter(connection))
        await connection.close()
        return world.hers, world.her_list

    track, list_ = asyncio.run(fill())
    with web(database_url, module="xrpc") as process:
        yield Server(process.url, "alice.test", track, list_)


def test_clients_made_by_each_generator_get_what_their_types_promise(made: Path, server: Server) -> None:
    programs: dict[str, list[str | Path]] = {
        "lex": [NODE, MADE / "dist" / "with_lex.js"],
        "lex-cli": [NODE, MADE / "dist" / "with_lex_cli.js"],
        "atproto gen": [sys.executable, MADE / "with_atproto.py", MADE / "python"],
    }
    for name, program in programs.items():
        said: dict[str, Any] = json.loads(ran([*program, *server]))
        assert said == {"seen": 2, "profile": ALICE}, name


def test_every_document_is_in_every_client(made: Path) -> None:
    # A generator that does not understand a document may pass over it, and be content.
    for document in LEXICONS.rglob("*.json"):
        path = document.relative_to(LEXICONS).with_suffix(".ts")
        assert (made / "src" / "lex" / path).is_file(), path
        assert (made / "src" / "api" / "types" / path).is_file(), path


def test_every_module_of_the_python_client_can_be_imported(made: Path) -> None:
    root = made / "python"
    modules = [".".join(path.relative_to(root).with_suffix("").parts) for path in root.rglob("*.py")]
    assert len(modules) > len(METHODS)
    assert any(module.startswith(f"{PYTHON_PACKAGE}.models.fm.plyr") for module in modules)
    program = f"import sys; sys.path.insert(0, {str(root)!r}); " + "; ".join(f"import {one}" for one in sorted(modules))
    ran([sys.executable, "-c", program])
