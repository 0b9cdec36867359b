"""Mutants of what carries a proven message into the tables, once and in order, and of who may do so."""

from typing import Final

from tests.mutants.mutant import Mutant

_FETCH: Final = "ingester/fetch.py"
_COPIES: Final = "ingester/copies.py"
_EFFECTS: Final = "ingester/effects.py"
_LANES: Final = "ingester/lanes.py"
_WRITER: Final = "ingester/writer.py"
_LEADER: Final = "ingester/leader.py"
_ROWS: Final = "appview/jobs/rows.py"
_BY_ROWS: Final = ("tests/appview/jobs/test_rows.py",)
_BY_STREAM: Final = ("tests/ingester/test_stream.py",)
_BY_SHARD: Final = ("tests/ingester/test_shard.py",)

MUTANTS: Final = (
    # --- the cursor ---
    Mutant(
        "the cursor passes what is under way",
        "ingester/stream.py",
        "            return seq - 1",
        "            return seq",
        _BY_STREAM,
    ),
    Mutant(
        "the cursor is the newest message",
        "ingester/stream.py",
        "        for seq in self._under_way:\n            return seq - 1\n",
        "",
        _BY_STREAM,
    ),
    Mutant(
        "a seq that came before is new",
        "ingester/stream.py",
        "(self.last or _NOTHING) < seq <= MAX_SEQ",
        "_NOTHING < seq <= MAX_SEQ",
        _BY_STREAM,
    ),
    Mutant(
        "a batch carries the cursor of the moment in which it is written",
        _WRITER,
        "                await self._save_cursors(connection, batch.cursors)",
        "                await self._save_cursors(connection, {u: s.cursor or 0 for u, s in self._streams.items()})",
        ("tests/ingester/test_writer.py::test_a_cursor_waits_for_the_batch_that_finishes_it",),
    ),
    Mutant(
        "the cursor is saved in a transaction of its own",
        _WRITER,
        "        async with connection.transaction():\n            await self.leadership.fence(connection)",
        "        await self._save_cursors(connection, batch.cursors)\n"
        "        async with connection.transaction():\n            await self.leadership.fence(connection)",
        ("tests/ingester/test_writer.py::test_a_writer_whose_shard_was_taken_over_writes_no_more",),
    ),
    # --- one writer ---
    Mutant(
        "a writer whose shard was taken over goes on",
        _LEADER,
        "        if epoch != self.epoch:",
        "        if epoch is None:",
        ("tests/ingester/test_writer.py::test_a_writer_whose_shard_was_taken_over_writes_no_more",),
    ),
    Mutant(
        "who takes over counts no new epoch",
        _LEADER,
        "epoch = shards.epoch + 1, status = null",
        "epoch = shards.epoch, status = null",
        ("tests/ingester/test_writer.py::test_a_second_writer_stands_by_until_the_first_is_gone",),
    ),
    Mutant(
        "a batch is given up with its connection",
        _WRITER,
        "                        await self.leadership.resume()\n",
        "                        await self.leadership.resume()\n                        return\n",
        ("tests/ingester/test_writer.py::test_a_batch_outlives_its_connection",),
    ),
    Mutant(
        "two shards own one repository",
        "ingester/shard.py",
        "% self.total == self.number",
        "% self.total <= self.number",
        _BY_SHARD,
    ),
    Mutant(
        "the database divides otherwise",
        "migrations/0002_shards_and_audit.sql",
        "left(md5(did), 4)",
        "right(md5(did), 4)",
        _BY_SHARD,
    ),
    Mutant(
        "a shard takes in what is another's",
        "ingester/scope.py",
        " and self._is_ours(did)",
        "",
        ("tests/ingester/test_scope.py",),
    ),
    # --- what must wait ---
    Mutant(
        "messages overtake those that are kept",
        _LANES,
        "        if self._effects.held[event.did]:\n            self._effects.keep_behind(item)\n            return\n",
        "",
        ("tests/ingester/test_lanes.py::test_behind_what_is_kept_all_is_kept_and_judged_in_its_order",),
    ),
    Mutant(
        "messages are judged where they are read though older ones are kept",
        _LANES,
        "        if self._effects.held[did]:\n            return False\n",
        "",
        ("tests/ingester/test_lanes.py::test_behind_what_is_kept_all_is_kept_and_judged_in_its_order",),
    ),
    Mutant(
        "what was kept is judged newest first",
        "ingester/drain.py",
        "where did = $1 order by id limit $2",
        "where did = $1 order by id desc limit $2",
        ("tests/ingester/test_lanes.py::test_behind_what_is_kept_all_is_kept_and_judged_in_its_order",),
    ),
    Mutant(
        "what is kept is written in any order",
        _WRITER,
        "with ordinality as held (did, frame, reason, place) order by place",
        "with ordinality as held (did, frame, reason, place) order by place desc",
        ("tests/ingester/test_writer.py::test_messages_are_kept_in_the_order_they_came",),
    ),
    Mutant(
        "a key that fails is not looked up anew",
        _LANES,
        "        if fresh is not None and fresh != signer:\n",
        "        if fresh is not None and not signer:\n",
        ("tests/ingester/test_lanes.py::test_a_new_key_is_looked_up_when_the_old_one_fails",),
    ),
    Mutant(
        "a refused message still makes its repository ours",
        _EFFECTS,
        "        if state is None and not self._makes_tracked(decision.records):\n            return",
        "        if state is None and not decision:\n            return",
        ("tests/ingester/test_lanes.py::test_what_comes_behind_a_refused_first_message_makes_nobody_tracked",),
    ),
    # --- a repository whole ---
    Mutant(
        "a broken chain asks for no rev",
        _EFFECTS,
        'Chain(did, "in_progress", rev, data, None, head.rev, reason)',
        'Chain(did, "in_progress", rev, data, None, None, reason)',
        ("tests/ingester/test_fetch.py::test_a_chain_that_broke_is_fetched_at_least_to_where_it_did",),
    ),
    Mutant(
        "a rev that is needed is forgotten",
        "appview/index/repos.py",
        "else greatest(repos.needs_rev, excluded.needs_rev) end",
        "else excluded.needs_rev end",
        ("tests/appview/index/test_repos.py",),
    ),
    Mutant(
        "an export may be older than what was proven",
        _COPIES,
        "        if commit.rev < needs_rev:\n",
        "        if not commit.rev:\n",
        ("tests/ingester/test_fetch.py::test_an_older_export_than_what_was_proven_is_not_taken",),
    ),
    Mutant(
        "an export need not be signed",
        _COPIES,
        "        if not source.is_pds or not await self._is_signed_by_former_key(export, did):\n",
        "        if not source.is_pds:\n",
        ("tests/ingester/test_fetch.py::test_an_export_signed_by_another_key_is_not_taken",),
    ),
    Mutant(
        "a tree with a hole is whole",
        "ingester/repo/mst.py",
        '            raise ProofError("incomplete_tree"',
        '            if layer is not None:\n                return\n            raise ProofError("incomplete_tree"',
        ("tests/ingester/repo/test_mst.py::test_a_walk_says_when_a_node_is_missing_and_not_before",),
    ),
    Mutant(
        "a repository is compared before it is known to be there whole",
        _COPIES,
        "            await export.prove(self._collections)\n",
        "",
        ("tests/ingester/test_fetch.py::test_nothing_is_written_before_all_of_an_export_is_known_to_be_there",),
    ),
    Mutant(
        "what a repository no longer has stays",
        "ingester/differences.py",
        "        elif cid is not None or not is_sound:\n            yield Difference(path, None)\n",
        "",
        ("tests/ingester/test_fetch.py::test_creates_updates_and_deletes_exactly",),
    ),
    Mutant(
        "a fetch goes on though the account has gone",
        _FETCH,
        'if state is None or state.status != "in_progress" or not state.active or did not in self._states.tracked:',
        "if state is None:",
        ("tests/ingester/test_races.py::test_a_purge_ends_a_fetch_under_way",),
    ),
    # --- jobs ---
    Mutant(
        "what was wanted while it was done is forgotten",
        _ROWS,
        "where kind = $1 and subject = $2 and wanted = $3",
        "where kind = $1 and subject = $2 and wanted >= $3",
        _BY_ROWS,
    ),
    Mutant(
        "two take one job",
        _ROWS,
        "for update skip locked",
        "",
        _BY_ROWS,
    ),
    Mutant(
        "a job of a taker that died is never due",
        _ROWS,
        "due_at = now() + make_interval(secs => $3), leased = true",
        "due_at = 'infinity', leased = true",
        _BY_ROWS,
    ),
    Mutant(
        "a word of deletion is displaced by a later one",
        _ROWS,
        "note = case when jobs.note = 'deleted' then jobs.note else coalesce(excluded.note, jobs.note) end",
        "note = coalesce(excluded.note, jobs.note)",
        _BY_ROWS,
    ),
    Mutant(
        "a failure of a lease that ran out counts",
        _ROWS,
        "leased = false, error = $5\n        where kind = $1 and subject = $2 and attempts = $3",
        "leased = false, error = $5\n        where kind = $1 and subject = $2 and attempts >= $3",
        _BY_ROWS,
    ),
    # --- whom to believe ---
    Mutant(
        "one word of deletion is enough to purge",
        "ingester/account.py",
        "is_purged = said.status == DELETED and not said.active and job.note == DELETED",
        "is_purged = job.note == DELETED",
        (
            "tests/ingester/test_account.py::test_what_a_former_host_says_hides_nobody",
            "tests/ingester/test_account.py::test_the_order_of_hearsay_does_not_matter",
        ),
    ),
    Mutant(
        "a tracked DID that is discarded stays",
        "ingester/tracked.py",
        "                self._buckets[place] = hashes[:start] + hashes[start + len(packed) :]\n",
        "",
        ("tests/ingester/test_tracked.py",),
    ),
)
