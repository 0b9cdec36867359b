"""Mutants of the index: which version of a record stands, what is counted, what is shown, what a purge reaches."""

from typing import Final

from tests.mutants.mutant import Mutant

_APPLY: Final = "appview/index/apply.py"
_ACTORS: Final = "appview/index/actors.py"
_COUNTS: Final = "appview/index/counts.py"
_COUNTED: Final = "appview/index/counted.py"
_SHIFT: Final = "appview/index/shift.py"
_VISIBILITY: Final = "appview/reads/visibility.py"
_BY_APPLY: Final = ("tests/appview/index/test_apply.py",)
_BY_ACTORS: Final = ("tests/appview/index/test_actors.py",)
_BY_COUNTS: Final = ("tests/appview/index/test_counts.py",)
_BY_SHIFT: Final = ("tests/appview/index/test_shift.py",)
_BY_HIDING: Final = ("tests/xrpc/methods/test_hiding.py",)

MUTANTS: Final = (
    # --- records ---
    Mutant(
        "an older version takes the place of a newer one",
        _APPLY,
        "        where records.rev <= excluded.rev\n",
        "",
        _BY_APPLY,
    ),
    Mutant(
        "within a batch the last change wins, whatever its rev",
        _APPLY,
        "        if change.rev < before.change.rev:\n",
        "        if not change.rev:\n",
        _BY_APPLY,
    ),
    Mutant(
        "a deleted record leaves no tombstone",
        _APPLY,
        "    counts = Changes()\n    for nsid",
        '    await connection.execute("delete from records where cid is null")\n    counts = Changes()\n    for nsid',
        ("tests/ingester/test_writer.py::test_an_older_version_does_nothing",),
    ),
    Mutant(
        "what a new version lacks is kept of the old one",
        _APPLY,
        "cid = excluded.cid, value = excluded.value, verdict",
        "cid = excluded.cid, value = coalesce(excluded.value, records.value), verdict",
        (*_BY_APPLY, "tests/ingester/test_writer.py::test_an_older_version_does_nothing"),
    ),
    Mutant(
        "an edit moves a record in time",
        _APPLY,
        "sort_at = coalesce(records.sort_at, excluded.sort_at)",
        "sort_at = excluded.sort_at",
        ("tests/appview/index/test_apply.py::test_an_edit_moves_nothing_in_time",),
    ),
    # --- counts ---
    Mutant(
        "likes of hidden accounts count",
        _COUNTED,
        "return did in self._visible if shift is None",
        "return True if shift is None",
        _BY_COUNTS,
    ),
    Mutant(
        "two likes of one account in one batch are two",
        _COUNTS,
        "select pair.did, pair.subject, (there.n > 0)::int - (there.n > pair.n)::int",
        "select pair.did, pair.subject, pair.n",
        _BY_COUNTS,
    ),
    Mutant(
        "hiding an account leaves its counts",
        _ACTORS,
        "        await turn(connection, did, visible=after, at_once=at_once)\n",
        "        pass\n",
        _BY_ACTORS,
    ),
    Mutant(
        "while counts are on their way, what is written counts as if they had arrived",
        _COUNTED,
        'return (f"{stage} {key}" <= self.place) is self.adds',
        "return self.adds",
        _BY_SHIFT,
    ),
    Mutant("the last of a step counts twice", _COUNTED, "<= self.place)", "< self.place)", _BY_SHIFT),
    Mutant(
        "nobody sees to the counts of a large account",
        _SHIFT,
        "        await want(connection, JOB, [did])\n",
        "        pass\n",
        _BY_SHIFT,
    ),
    Mutant(
        "who turns while the counts are on their way is forgotten",
        _SHIFT,
        "        elif adds is visible:\n",
        "        elif isinstance(adds, bool):\n",
        _BY_SHIFT,
    ),
    Mutant(
        "a list is counted for each of its items",
        _SHIFT,
        "select subject, 0, count(distinct list) from lists",
        "select subject, 0, count(*) from lists",
        _BY_SHIFT,
    ),
    Mutant(
        "a purge leaves counts on their way",
        _ACTORS,
        '    await connection.execute("delete from shifts where did = $1", did)\n',
        "",
        _BY_SHIFT,
    ),
    # --- visibility ---
    Mutant("hidden accounts are shown", _VISIBILITY, " and actors.visible)", ")", _BY_HIDING),
    Mutant(
        "accounts that are hidden are mentioned",
        _VISIBILITY,
        "and not actors.visible)",
        "and not actors.active)",
        _BY_HIDING,
    ),
    Mutant(
        "what operators took down is shown",
        "migrations/0001_index.sql",
        "generated always as (active and not taken_down) stored",
        "generated always as (active) stored",
        (*_BY_ACTORS, *_BY_HIDING),
    ),
    # --- a purge ---
    Mutant(
        "a purge leaves tombstones and what was rejected",
        _ACTORS,
        "_REST, did, limit - done)\n        await _delete(connection, uris)\n",
        "_REST, did, limit - done)\n",
        _BY_ACTORS,
    ),
    Mutant(
        "a purge leaves the messages that were kept",
        _ACTORS,
        'for table in ("held_frames", "dead_letters"):',
        'for table in ("dead_letters",):',
        _BY_ACTORS,
    ),
    Mutant(
        "a purge leaves the DID document",
        _ACTORS,
        '    await connection.execute("delete from did_documents where did = $1", did)\n',
        "",
        _BY_ACTORS,
    ),
    Mutant(
        "a purge leaves the chain",
        _ACTORS,
        '    await connection.execute("delete from repos where did = $1", did)\n',
        "",
        _BY_ACTORS,
    ),
    Mutant(
        "a purge leaves the handle",
        _ACTORS,
        "update actors set handle = null, pds = null, identity_at = null where did = $1",
        "update actors set pds = null, identity_at = null where did = $1",
        _BY_ACTORS,
    ),
    Mutant(
        "while it is purged an account is still shown",
        _ACTORS,
        '        await _change(connection, did, AT_ONCE, "active = false")\n',
        "        pass\n",
        _BY_ACTORS,
    ),
    Mutant(
        "a handle has two holders",
        _ACTORS,
        "update actors set handle = null where handle = $2 and did <> $1",
        "update actors set handle = null where handle = $2 and did = $1",
        _BY_ACTORS,
    ),
    # --- the guard of strangers' addresses ---
    Mutant(
        "a stranger may name an address of our own network",
        "appview/net/policy.py",
        "return not any(address in network for network in _CLOSED_V4)",
        "return True",
        ("tests/appview/net/test_policy.py",),
    ),
)
