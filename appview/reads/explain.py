"""Why a record or an account is here, or is not: the state of things, never their content.

Of an account that is not visible nothing is told but that, and how its repository stands.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import asyncpg

from appview.db import Connection
from appview.index.records import RecordType
from appview.index.tolerance import rule_of
from appview.reads.names import with_dids
from appview.reads.times import instant
from appview.reads.views import View
from appview.reads.visibility import visible
from lexicons.cid import CID
from lexicons.formats import is_did, parse_at_uri

MOST: Final = 10_000
"""Of one collection of an account, and of its events: how many are counted."""

_JOB_KINDS: Final = ("drain", "fetch", "identity", "recheck", "shift", "status", "writes")


class Unexplainable(ValueError):
    """What is asked about is neither a record nor an account."""


class _Subject(NamedTuple):
    """What is asked about; `collection` is None for an account."""

    uri: str
    did: str
    collection: str | None


async def explain(connection: Connection, subject: str, types: Mapping[str, RecordType]) -> View:
    """The answer of `server.explain` about an AT-URI of a record, or a DID; `types` are those that are indexed.

    At most five statements. Raises Unexplainable.
    """
    asked = await _subject(connection, subject)
    if asked is None:
        sentence = "No account with that handle was ever seen."
        return {"uri": subject, "state": "never-seen", "explanation": sentence}
    account = await _account(connection, asked.did)
    repo = await _repo(connection, asked.did)
    jobs = await _jobs(connection, asked.did)
    answer: View = {"uri": asked.uri}
    if account is not None:
        answer["account"] = _account_state(account)
    if repo is not None:
        answer["repo"] = _repo_state(repo, jobs)
    if asked.collection is None:
        answer["collections"] = await _collections(connection, asked.did, list(types))
        state, sentences = _told_of_account(account)
    else:
        kind = types.get(asked.collection)
        record = await _record(connection, asked.uri, kind) if kind is not None else None
        if kind is not None and record is not None:
            answer["record"] = _record_state(record, account, kind)
        state, sentences = _told_of_record(asked, record, account, kind, answer)
    answer["state"] = state
    answer["explanation"] = " ".join([*sentences, *_told_of_repo(repo, jobs)])
    return answer


async def _subject(connection: Connection, subject: str) -> _Subject | None:
    """None when it names an account by a handle that nobody here has."""
    if is_did(subject):
        return _Subject(subject, subject, None)
    try:
        parts = parse_at_uri(subject)
    except ValueError:
        raise Unexplainable("This is neither the AT-URI of a record nor a DID.") from None
    if parts.collection is not None and parts.rkey is None:
        raise Unexplainable("This is a collection; a record of it can be explained, or its account.")
    uri = next(iter(await with_dids(connection, [subject])), None)
    if uri is None:
        return None
    did = parse_at_uri(uri).authority
    return _Subject(did if parts.collection is None else uri, did, parts.collection)


async def _account(connection: Connection, did: str) -> asyncpg.Record | None:
    return await connection.fetchrow(
        f"""
        select did, active, status, taken_down, identity_at, status_at, first_seen_at, {visible("asked.did")} as shown
        from actors as asked where did = $1
        """,  # noqa: S608 - a condition of our own
        did,
    )


async def _repo(connection: Connection, did: str) -> asyncpg.Record | None:
    return await connection.fetchrow(
        f"""
        select status, rev, needs_rev, reason, status_at, proven_by, proven_at, fetched_at, audited_at,
            (select count(*) from (select from held_frames where did = $1 limit {MOST}) as few) as held_frames,
            (select count(*) from (select from dead_letters where did = $1 limit {MOST}) as few) as dead_letters
        from repos where did = $1
        """,  # noqa: S608 - a number of our own
        did,
    )


async def _jobs(connection: Connection, did: str) -> list[asyncpg.Record]:
    return await connection.fetch(
        "select kind, due_at, attempts, note, error from jobs where kind = any($1) and subject = $2 order by kind",
        _JOB_KINDS,
        did,
    )


async def _record(connection: Connection, uri: str, kind: RecordType) -> asyncpg.Record | None:
    return await connection.fetchrow(
        f"""
        select collection, rev, cid, verdict, deviations, sort_at, first_seen_at, indexed_at, proven_by,
            case when proven_by = 'write' then (select written_at from pending where pending.uri = records.uri) end
                as written_at,
            exists (select from {kind.table} where {kind.table}.uri = records.uri) as used
        from records where uri = $1
        """,  # noqa: S608 - a table of our own
        uri,
    )


async def _collections(connection: Connection, did: str, nsids: list[str]) -> list[View]:
    # The URIs of a collection are a range, since identifiers are ordered as bytes: "0" comes after "/".
    rows = await connection.fetch(
        f"""
        select asked.collection, count(*) filter (where verdict = 'ok') as ok,
            count(*) filter (where verdict = 'tolerated') as tolerated,
            count(*) filter (where verdict = 'rejected') as rejected,
            count(*) filter (where verdict is null) as deleted, count(*) = {MOST} as more
        from unnest($2::text[]) as asked (collection) cross join lateral (
            select verdict from records
            where uri > $1 || asked.collection || '/' and uri < $1 || asked.collection || '0'
            order by uri limit {MOST}
        ) as seen
        group by asked.collection order by asked.collection collate "C"
        """,  # noqa: S608 - a number of our own
        f"at://{did}/",
        nsids,
    )
    return [dict(row) for row in rows]


def _account_state(row: asyncpg.Record) -> View:
    state = {
        "did": row["did"],
        "shown": row["shown"],
        "active": row["active"],
        "takenDown": row["taken_down"],
        "firstSeenAt": instant(row["first_seen_at"]),
        "status": row["status"],
        "statusAt": instant(row["status_at"]),
        "identityAt": instant(row["identity_at"]),
    }
    return _known(state)


def _repo_state(row: asyncpg.Record, jobs: list[asyncpg.Record]) -> View:
    state = {
        "status": row["status"].replace("_", "-"),
        "statusAt": instant(row["status_at"]),
        "reason": row["reason"],
        "rev": row["rev"],
        "needsRev": row["needs_rev"],
        "provenBy": row["proven_by"],
        "provenAt": instant(row["proven_at"]),
        "fetchedAt": instant(row["fetched_at"]),
        "auditedAt": instant(row["audited_at"]),
        "heldFrames": row["held_frames"],
        "deadLetters": row["dead_letters"],
        "jobs": [_job_state(job) for job in jobs],
    }
    return _known(state)


def _job_state(job: asyncpg.Record) -> View:
    state = {
        "kind": job["kind"],
        "dueAt": instant(job["due_at"]),
        "attempts": job["attempts"],
        "note": job["note"],
        "error": job["error"],
    }
    return _known(state)


def _record_state(row: asyncpg.Record, account: asyncpg.Record | None, kind: RecordType) -> View:
    state = {
        "collection": row["collection"],
        "rev": row["rev"],
        "verdict": row["verdict"],
        "provenBy": row["proven_by"],
        "writtenAt": instant(row["written_at"]),
        "sortAt": instant(row["sort_at"]),
        "firstSeenAt": instant(row["first_seen_at"]),
        "indexedAt": instant(row["indexed_at"]),
    }
    if account is not None and account["shown"] and row["cid"] is not None:
        state["cid"] = str(CID(row["cid"]))
        if row["deviations"]:
            state["deviations"] = list(_deviations(row, kind.name))
    return _known(state)


def _deviations(row: asyncpg.Record, name: str) -> Iterator[View]:
    for deviation in row["deviations"]:
        rule = rule_of(deviation, name)
        told = {name: deviation.get(name) for name in ("path", "rule", "detail", "verdict")}
        yield _known({**told, "means": rule.means if rule is not None else None})


def _told_of_account(account: asyncpg.Record | None) -> tuple[str, list[str]]:
    if account is None:
        return "never-seen", ["This account was never seen."]
    if not account["shown"]:
        return "hidden", [f"Nothing of this account is shown: {_why_hidden(account)}."]
    return "shown", ["What this account made is shown."]


def _told_of_record(
    asked: _Subject,
    record: asyncpg.Record | None,
    account: asyncpg.Record | None,
    kind: RecordType | None,
    answer: View,
) -> tuple[str, list[str]]:
    if kind is None:
        return "out-of-scope", [f"Records of {asked.collection} are not indexed here."]
    if record is None:
        only = "" if kind.signal else " Records of its kind are indexed only of accounts that have some of ours."
        return "never-seen", [f"This record was never seen.{only}"]
    state, sentences = _told_of_version(record, account, answer)
    if record["written_at"] is not None:
        at = instant(record["written_at"])
        sentences.append(f"It was written through us at {at}, and was not yet seen on the firehose.")
    return state, sentences


def _told_of_version(record: asyncpg.Record, account: asyncpg.Record | None, answer: View) -> tuple[str, list[str]]:
    if record["cid"] is None:
        return "deleted", [f"This record was deleted, at revision {record['rev']} or before."]
    if record["verdict"] == "rejected":
        reasons = [
            _sentence(found) for found in answer["record"].get("deviations", ()) if found["verdict"] == "rejected"
        ]
        return "rejected", ["This record is kept aside, since it breaks its lexicon.", *reasons]
    if account is None or not account["shown"]:
        why = _why_hidden(account) if account is not None else "it was never seen"
        return "hidden", [f"This record is here, but nothing of its account is shown: {why}."]
    deviations = [_sentence(found) for found in answer["record"].get("deviations", ())]
    if deviations:
        deviations.insert(0, "It breaks its lexicon in a way that is forgiven.")
    if not record["used"]:
        return "unused", ["This record is kept, but there is nothing to show it on.", *deviations]
    return "shown", ["This record is shown.", *deviations]


def _told_of_repo(repo: asyncpg.Record | None, jobs: list[asyncpg.Record]) -> Iterator[str]:
    if repo is None:
        yield "Its repository is not indexed: no record of ours was seen in it."
    elif repo["status"] == "synchronized":
        how = {"live": "by a commit on the firehose", "fetch": "by a fetch of all of it"}.get(repo["proven_by"], "")
        since = f", as was proven {how} at {instant(repo['proven_at'])}" if repo["proven_at"] is not None else ""
        yield f"Its repository is here up to revision {repo['rev']}{since}."
        if repo["audited_at"] is not None:
            yield f"Its PDS was last asked whether it has the same at {instant(repo['audited_at'])}."
    else:
        state = "is being fetched" if repo["status"] == "in_progress" else "is out of step"
        yield f"Its repository {state} since {instant(repo['status_at'])}: {repo['reason']}."
    if repo is not None and repo["held_frames"]:
        yield f"Events that wait until it was fetched: {_up_to(repo['held_frames'])}."
    if repo is not None and repo["dead_letters"]:
        yield f"Events of it that could not be processed: {_up_to(repo['dead_letters'])}."
    for job in jobs:
        failed = f"; the last of {job['attempts']} attempts failed: {job['error']}" if job["error"] else ""
        yield f"A {job['kind']} is due at {instant(job['due_at'])}{failed}."


def _up_to(n: int) -> str:
    return str(n) if n < MOST else f"{n} or more"


def _why_hidden(account: asyncpg.Record) -> str:
    if account["taken_down"]:
        return "it was taken down here"
    status = f" ({account['status']})" if account["status"] else ""
    return f"it is not active on its host{status}"


def _sentence(deviation: View) -> str:
    means = f" ({deviation['means']})" if "means" in deviation else ""
    return f"{deviation['path'] or 'The record'} {deviation['detail']}{means}."


def _known(state: View) -> View:
    return {name: value for name, value in state.items() if value is not None}
