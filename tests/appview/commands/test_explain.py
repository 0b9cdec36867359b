"""`python -m appview explain`."""

import asyncio
import json

import pytest

from appview import db
from tests.appview.commands.running import appview
from tests.index_writer import IndexWriter, rkey

ALICE = "did:plc:alice"
SHOWN = f"at://{ALICE}/fm.plyr.track/{rkey(1)}"
REJECTED = f"at://{ALICE}/fm.plyr.track/{rkey(2)}"


@pytest.fixture
def url(database_url: str) -> str:
    """A database with two records, one of which is kept aside."""

    async def fill() -> None:
        connection = await db.connect(database_url)
        index = IndexWriter(connection)
        await index.account(ALICE)
        await index.write(ALICE, "fm.plyr.track", rkey(1))
        await index.write(ALICE, "fm.plyr.track", rkey(2), title=7)
        await connection.close()

    asyncio.run(fill())
    return database_url


def test_what_is_shown(url: str) -> None:
    ran = appview("explain", SHOWN, DATABASE_URL=url)
    assert (ran.code, ran.error) == (0, "")
    assert ran.out.startswith("shown: This record is shown. Its repository is here up to revision ")
    lines = dict(line.split(maxsplit=1) for line in ran.out.splitlines()[2:])
    assert (lines["uri"], lines["record.verdict"], lines["account.shown"]) == (SHOWN, "ok", "yes")


def test_what_is_not_shown(url: str) -> None:
    ran = appview("explain", REJECTED, DATABASE_URL=url)
    assert ran.code == 1
    assert ran.out.startswith("rejected: ")
    assert "title is not a string" in ran.out
    assert appview("explain", "did:plc:nobody", DATABASE_URL=url).code == 1


def test_as_json(url: str) -> None:
    ran = appview("explain", "--json", ALICE, DATABASE_URL=url)
    assert ran.code == 0
    answer = json.loads(ran.out)
    assert (answer["uri"], answer["state"]) == (ALICE, "shown")
    assert answer["collections"][0]["rejected"] == 1


def test_what_cannot_be_explained(url: str) -> None:
    ran = appview("explain", "alice.test", DATABASE_URL=url)
    assert (ran.code, ran.out) == (2, "")
    assert ran.error == "python -m appview: This is neither the AT-URI of a record nor a DID.\n"
