"""The oracle reads hosts right, and a fact that is wrong does not pass it; it imports nothing of what it judges."""

import ast
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.network import records
from tests.network.repo import Written
from tests.system.oracle import NAMES, Account, Facts, comparable, differences, expected, read_accounts
from tests.system.synthetic import Directory, Pds
from tests.writer.repo import Write

ALLOWED = {"tests.system.judgement"}
OURS = {"appview", "ingester", "lexicons", "xrpc", "tests"}
FOLLOW = "app.bsky.graph.follow"
KEYS = ("3lmusica22222", "3lmusicb22222", "3lmusicc22222")


def test_it_imports_nothing_of_ours() -> None:
    for name in ("oracle.py", "judgement.py"):
        for node in ast.walk(ast.parse(Path(__file__).with_name(name).read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name for name in names if name.split(".")[0] in OURS} - ALLOWED


@pytest.fixture
async def directory() -> AsyncIterator[Directory]:
    async with Directory() as directory:
        yield directory


async def test_what_follows_from_what_hosts_say(directory: Directory) -> None:
    async with Pds(directory, "pds1") as one, Pds(directory, "pds2") as two:
        artist, fan, other = one.create_account("artist"), two.create_account("fan"), two.create_account("other")
        one.create_account("nobody")
        song = Written(
            artist.uri(f"{records.TRACK}/{KEYS[0]}"),
            "bafyreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
            None,
        )
        artist.write(Write("create", f"{records.TRACK}/{KEYS[0]}", records.track("One")))
        artist.write(Write("create", f"{records.TRACK}/{KEYS[1]}", {"title": 7}))
        fan.write(*(Write("create", f"{records.LIKE}/{key}", records.like(song)) for key in KEYS[:2]))
        fan.write(Write("create", f"{records.COMMENT}/{KEYS[0]}", records.comment(song, timestamp_ms=7)))
        fan.write(Write("create", f"{records.LIST}/{KEYS[0]}", records.playlist(song, song)))
        fan.write(Write("create", f"{FOLLOW}/{KEYS[0]}", {"$type": FOLLOW, "subject": artist.did}))
        other.write(Write("create", f"{records.LIKE}/{KEYS[0]}", records.like(song)))
        deleted, hidden = two.create_account("deleted"), two.create_account("hidden")
        for account in (deleted, hidden):
            account.write(Write("create", f"{records.LIKE}/{KEYS[0]}", records.like(song)))
        deleted.set_status("deleted")
        hidden.set_status("takendown")
        accounts = await read_accounts(directory.url, [one.url, two.url], {deleted.did})

    assert {account.did: (account.active, account.gone) for account in accounts}[hidden.did] == (False, False)
    assert {account.did: (account.active, account.gone) for account in accounts}[deleted.did] == (False, True)
    facts = expected(accounts)
    assert facts["tracks"] == {song.uri: ("One", "Artist")}
    assert facts["records"][artist.uri(f"{records.TRACK}/{KEYS[1]}")][1] is False
    assert facts["subject_counts"] == {song.uri: (2, 1, 1)}
    assert facts["actor_counts"][fan.did] == [0, 1, 1, 0]
    assert facts["actor_counts"][artist.did] == [1, 0, 0, 1]
    assert facts["totals"] == {"track": 1, "like": 3, "comment": 1, "list": 1, "follow": 1}
    assert facts["lists"] == {fan.uri(f"{records.LIST}/{KEYS[0]}"): (song.uri, song.uri)}
    assert facts["chains"][artist.did] == (
        "synchronized",
        artist.repo.last and artist.repo.last.rev,
        str(artist.repo.tree.cid),
    )
    _audited(accounts, facts)


def _audited(accounts: list[Account], facts: Facts) -> None:
    """A table like the facts has no difference; each fact left out, added or changed has one."""

    def held() -> Facts:
        wanted, _ = comparable(accounts, {name: {} for name in NAMES})
        return {name: dict(rows) for name, rows in wanted.items()}

    def audited(index: Facts) -> list[str]:
        return differences(*comparable(accounts, index))

    assert audited(held()) == []
    changes: list[tuple[str, Any]] = [(name, key) for name, rows in held().items() for key in rows]
    assert len(changes) > 15
    for name, key in changes:
        index = held()
        del index[name][key]
        assert len(audited(index)) == 1
        index[name][key] = ("something", "else")
        assert len(audited(index)) == 1
    index = held()
    index["likes"]["at://did:plc:stranger/fm.plyr.like/3lmusica22222"] = "at://x/y/z"
    assert len(audited(index)) == 1
