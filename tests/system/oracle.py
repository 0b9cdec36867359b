"""The oracle: what the index must hold, read from the hosts by the `atproto` SDK, against what its tables do hold.

It imports nothing of ours: hosts are asked by the SDK, which decodes their CARs; the tree is walked here; counts are
made anew in Python; the tables are read by the oracle's own SQL.
"""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, TypeAlias

import asyncpg
import httpx
from atproto import CAR, AsyncClient
from atproto_client.exceptions import BadRequestError
from atproto_core.cid import CID

from tests.system.judgement import COMPANION, SIGNAL, is_shown, item_uris, moment, subject_uri, track_uri

Facts: TypeAlias = dict[str, dict[Any, Any]]
"""By name (mostly a table's), by key: what there is."""

GONE = "RepoNotFound"
AT_ONCE = 8
SHORT = {
    "fm.plyr.actor.profile": "profile",
    "fm.plyr.feed.generator": "generator",
    "app.bsky.actor.profile": "bsky_profile",
    "app.bsky.graph.follow": "follow",
}


class Record(NamedTuple):
    """One record of a repository."""

    collection: str
    rkey: str
    cid: str
    value: Any


class Account(NamedTuple):
    """An account as its host has it; `records`, `rev` and `data` (the tree's root) are None where nobody may read."""

    did: str
    active: bool
    gone: bool
    rev: str | None = None
    data: str | None = None
    records: dict[str, Record] | None = None


async def audit(plc: str, hosts: Iterable[str], database_url: str, unheard: frozenset[str] = frozenset()) -> list[str]:
    """Every difference between the index and the hosts, each a line to be read; none when the index is right.

    `unheard` are accounts of whose end no event could tell it: hidden is all that it can know of them.
    """
    connection = await asyncpg.connect(database_url)
    try:
        held = await connection.fetch("select did from actors union select did from repos")
        accounts = await read_accounts(plc, hosts, {row["did"] for row in held})
        found = await read_index(connection)
    finally:
        await connection.close()
    return differences(*comparable(accounts, found, unheard))


# --- what the hosts say ---


async def read_accounts(plc: str, hosts: Iterable[str], others: Iterable[str]) -> list[Account]:
    """Every account that a host lists, and `others`, each as the host says that its DID document names."""
    async with AsyncExitStack() as stack:
        directory = await stack.enter_async_context(httpx.AsyncClient(base_url=plc))
        clients: dict[str, AsyncClient] = {}
        limit = asyncio.Semaphore(AT_ONCE)

        def client(host: str) -> AsyncClient:
            if host not in clients:
                clients[host] = AsyncClient(host)
                stack.push_async_callback(clients[host].request.close)
            return clients[host]

        async def read(did: str) -> Account:
            async with limit:
                answer = await directory.get(f"/{did}")
                document = answer.json() if answer.is_success else {}
                services = {service["id"]: service["serviceEndpoint"] for service in document.get("service", ())}
                host = services.get("#atproto_pds")
                return await _account(client(host), did) if host else Account(did, active=False, gone=True)

        dids = set(others)
        for host in hosts:
            dids |= {did async for did in _listed(client(host))}
        return list(await asyncio.gather(*map(read, sorted(dids))))


async def _listed(client: AsyncClient) -> AsyncIterator[str]:
    cursor = None
    while True:
        answer = await client.com.atproto.sync.list_repos({"limit": 500, "cursor": cursor})
        for repo in answer.repos:
            yield repo.did
        if (cursor := answer.cursor) is None:
            return


async def _account(client: AsyncClient, did: str) -> Account:
    try:
        status = await client.com.atproto.sync.get_repo_status({"did": did})
        if not status.active:
            return Account(did, active=False, gone=status.status == "deleted")
        car = CAR.from_bytes(await client.com.atproto.sync.get_repo({"did": did}))
    except BadRequestError as error:
        if error.response is None or getattr(error.response.content, "error", None) != GONE:
            raise
        return Account(did, active=False, gone=True)
    commit = car.blocks[car.root]
    root = CID.from_decoded_bytes(commit["data"])
    records = {}
    for path, cid in _leaves(car.blocks, root):
        collection, _, rkey = path.partition("/")
        records[f"at://{did}/{path}"] = Record(collection, rkey, str(cid), car.blocks[cid])
    return Account(did, True, False, commit["rev"], str(root), records)


def _leaves(blocks: Mapping[CID, Any], root: CID) -> Iterator[tuple[str, CID]]:
    node = blocks[root]
    if node["l"]:
        yield from _leaves(blocks, CID.from_decoded_bytes(node["l"]))
    key = b""
    for entry in node["e"]:
        key = key[: entry["p"]] + entry["k"]
        yield key.decode(), CID.from_decoded_bytes(entry["v"])
        if entry["t"]:
            yield from _leaves(blocks, CID.from_decoded_bytes(entry["t"]))


# --- what the index must hold, then ---


def expected(accounts: Iterable[Account]) -> Facts:
    """The facts that follow from what accounts have written."""
    facts: Facts = defaultdict(dict)
    likers: dict[str, set[str]] = defaultdict(set)
    followers: dict[str, set[str]] = defaultdict(set)
    comments: Counter[str] = Counter()
    holders: dict[str, set[str]] = defaultdict(set)
    totals: Counter[str] = Counter()
    for account in accounts:
        facts["actors"][account.did] = account.active
        records = account.records or {}
        if account.records is not None:
            facts["chains"][account.did] = ("synchronized", account.rev, account.data)
        liked, own = set(), Counter[str]()
        for uri, record in records.items():
            if record.collection not in SIGNAL | COMPANION:
                continue
            shown = is_shown(record.collection, record.rkey, record.value)
            facts["records"][uri] = (record.cid, shown)
            if not shown:
                continue
            name, key, row = _projection(account.did, uri, record)
            if row is None:
                continue
            own[SHORT.get(record.collection) or record.collection.rpartition(".")[2]] += 1
            facts[name][key] = row
            if name == "likes":
                liked.add(row)
                likers[row].add(account.did)
            elif name == "comments":
                comments[row[0]] += 1
            elif name == "lists":
                for subject in row:
                    holders[subject].add(uri)
            elif name == "follows":
                followers[row].add(account.did)
        totals += own
        facts["actor_counts"][account.did] = [own["track"], own["list"], len(liked), 0]
    for did, them in followers.items():
        facts["actor_counts"].setdefault(did, [0, 0, 0, 0])[3] = len(them)
    for subject in {*likers, *comments, *holders}:
        counts = (len(likers[subject]), comments[subject], len(holders[subject]))
        facts["subject_counts"][subject] = counts
    facts["totals"] = dict(totals)
    return facts


def _projection(did: str, uri: str, record: Record) -> tuple[str, str, Any]:
    """The table of a shown record, its row's key, and what of it is compared: None where it has no row."""
    value = record.value
    match record.collection:
        case "fm.plyr.track":
            return "tracks", uri, (_text(value["title"]), _text(value["artist"]))
        case "fm.plyr.like":
            return "likes", uri, track_uri(subject_uri(value))
        case "fm.plyr.comment":
            subject = track_uri(subject_uri(value))
            return "comments", uri, subject and (subject, moment(value))
        case "fm.plyr.list":
            return "lists", uri, tuple(item_uris(value))
        case "fm.plyr.actor.profile":
            return "profiles", did, (uri, _text(value.get("bio")))
        case "app.bsky.actor.profile":
            return "bsky_profiles", did, (uri, _text(value.get("displayName")))
        case "app.bsky.graph.follow":
            return "follows", uri, value["subject"]
        case "fm.plyr.feed.generator":
            return "generators", uri, value["did"]
        case _:
            return "plays", uri, True


def _text(value: object) -> str | None:
    """Text as Postgres can hold it."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else None


# --- what it holds ---

_TABLES = {
    "actors": "select did, active from actors",
    "tracks": "select uri, array[title, artist] from tracks",
    "likes": "select uri, subject from likes",
    "comments": "select uri, array[subject, timestamp_ms::text] from comments",
    "lists": """
        select lists.uri, array_agg(subject order by position) filter (where subject is not null)
        from lists left join list_items on list = lists.uri group by lists.uri""",
    "profiles": "select did, array[uri, bio] from profiles",
    "bsky_profiles": "select did, array[uri, display_name] from bsky_profiles",
    "follows": "select uri, subject from follows",
    "generators": "select uri, service from generators",
    "plays": "select uri, true from plays",
    "subject_counts": "select subject, array[likes, comments, lists] from subject_counts",
    "actor_counts": "select did, array[tracks, lists, likes, followers] from actor_counts",
    "totals": "select name, n from totals",
}
NAMES = (*_TABLES, "records", "chains")
COUNTS = ("subject_counts", "actor_counts", "totals")
_BY_URI = {"tracks", "likes", "comments", "lists", "follows", "generators", "plays", "records"}


async def read_index(connection: "asyncpg.Connection[asyncpg.Record]") -> Facts:
    """The tables' facts, in the form of `expected`."""
    found: Facts = {}
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for name, sql in _TABLES.items():
            found[name] = {key: tuple(row) if type(row) is list else row for key, row in await connection.fetch(sql)}
        rows = await connection.fetch("select uri, cid, verdict from records where cid is not null")
        found["records"] = {row["uri"]: (_cid(row["cid"]), row["verdict"] != "rejected") for row in rows}
        rows = await connection.fetch("select did, status, rev, data from repos")
        found["chains"] = {row["did"]: (row["status"], row["rev"], _cid(row["data"])) for row in rows}
    found["lists"] = {uri: row or () for uri, row in found["lists"].items()}
    found["comments"] = {uri: (subject, int(at)) for uri, (subject, at) in found["comments"].items()}
    return found


def _cid(data: bytes | None) -> str | None:
    return None if data is None else str(CID.from_decoded_bytes(data))


# --- the difference ---


def comparable(accounts: list[Account], found: Facts, unheard: frozenset[str] = frozenset()) -> tuple[Facts, Facts]:
    """What must be, and what is, without what nobody can know: records that are hidden at their host, and repositories
    that never held a record of ours, which need not be known here.
    """
    hidden = {
        account.did for account in accounts if not account.active and (not account.gone or account.did in unheard)
    }
    tracked = found["chains"].keys()
    needed = {
        account.did
        for account in accounts
        if any(record.collection in SIGNAL for record in (account.records or {}).values())
    }
    wanted = expected(account for account in accounts if account.did in tracked | needed)
    gone = {account.did for account in accounts if account.gone}
    facts, present = {}, {}
    for name in NAMES:
        facts[name] = {key: row for key, row in wanted.get(name, {}).items() if not _is_of(hidden, name, key)}
        present[name] = {key: row for key, row in found[name].items() if not _is_of(hidden, name, key)}
    present["chains"] = {did: chain for did, chain in present["chains"].items() if did not in gone}
    for did in gone - present["actors"].keys():  # nothing need be remembered of them
        facts["actors"].pop(did, None)
    present["actors"] = {did: active for did, active in present["actors"].items() if did in facts["actors"]}
    for name in COUNTS:
        for side in (facts, present):
            rows = ((key, row if isinstance(row, int) else tuple(row)) for key, row in side[name].items())
            side[name] = {key: row for key, row in rows if row != 0 and (isinstance(row, int) or any(row))}
    return facts, present


def _is_of(dids: set[str], name: str, key: str) -> bool:
    """Whether a fact is about the records of one of `dids`."""
    if name in _BY_URI:
        return key.removeprefix("at://").partition("/")[0] in dids
    return name in {"chains", "profiles", "bsky_profiles", "actor_counts"} and key in dids


def differences(wanted: Facts, found: Facts) -> list[str]:
    """One line for every fact that is missing, too many, or other than it must be."""
    lines = []
    for name, facts in wanted.items():
        for key in sorted(facts.keys() | found[name].keys()):
            must, has = facts.get(key), found[name].get(key)
            if must != has:
                lines.append(f"{name} {key}: must be {_said(must)}, is {_said(has)}")
    return lines


def _said(row: object) -> str:
    return "absent" if row is None else json.dumps(row, ensure_ascii=False, default=str)
