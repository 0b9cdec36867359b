"""Mutants of the proof: what a message must be for anything of it to be believed."""

from typing import Final

from tests.mutants.mutant import Mutant

_SYNC: Final = "ingester/sync.py"
_MST: Final = "ingester/repo/mst.py"
_KEYS: Final = "appview/keys.py"
_BY_SYNC: Final = ("tests/ingester/test_sync.py",)
_BY_MST: Final = ("tests/ingester/repo/test_mst.py",)
_BY_KEYS: Final = ("tests/appview/test_keys.py",)

MUTANTS: Final = (
    # --- order ---
    Mutant(
        "an older rev is judged again",
        _SYNC,
        "(event.rev < state.rev or (event.rev == state.rev and type(event) is CommitEvent))",
        "(event.rev == state.rev and type(event) is CommitEvent)",
        _BY_SYNC,
    ),
    Mutant(
        "the same rev is judged again",
        _SYNC,
        "(event.rev < state.rev or (event.rev == state.rev and type(event) is CommitEvent))",
        "event.rev < state.rev",
        _BY_SYNC,
    ),
    Mutant(
        "a rev of next year is taken",
        _SYNC,
        "if tid_time_us(event.rev) > now_us + FUTURE_US:",
        "if tid_time_us(event.rev) > now_us + 100_000 * FUTURE_US:",
        _BY_SYNC,
    ),
    Mutant(
        "what an account that is away writes is taken",
        _SYNC,
        "        if not state.active:\n",
        "        if state.active is None:\n",
        _BY_SYNC,
    ),
    Mutant(
        "while it is fetched, a repository takes live commits",
        _SYNC,
        '    if state.status == "in_progress":\n        return Hold("resync_in_progress")\n    if event',
        "    if event",
        _BY_SYNC,
    ),
    Mutant(
        "what waits to be fetched takes commits meanwhile",
        _SYNC,
        '        if state.status == "desynchronized":\n',
        '        if state.status == "desynchronised":\n',
        _BY_SYNC,
    ),
    # --- the signature ---
    Mutant("a signature need not fit", _SYNC, 'if verdict != "ok":', 'if verdict == "high_s_signature":', _BY_SYNC),
    Mutant(
        "a signature may have a high S",
        _KEYS,
        "> _HALF_ORDER[self.curve]:",
        "> 2 * _HALF_ORDER[self.curve] + 1:",
        _BY_KEYS,
    ),
    Mutant("a signature may be longer", _KEYS, "if len(signature) != 64:", "if len(signature) < 64:", _BY_KEYS),
    Mutant(
        "a commit may be of another repository",
        _SYNC,
        "if commit.did != event.did:",
        "if not commit.did:",
        _BY_SYNC,
    ),
    Mutant(
        "a commit may have another rev than its message",
        _SYNC,
        "if commit.rev != event.rev:",
        "if not commit.rev:",
        _BY_SYNC,
    ),
    Mutant(
        "a message may name another commit than it carries",
        _SYNC,
        "if named is not None and car.root != named:",
        "if named is not None and not car.root:",
        _BY_SYNC,
    ),
    # --- the blocks and the tree ---
    Mutant(
        "a block need not be what its CID says",
        "ingester/repo/car.py",
        "        if sha256(block).digest() != cid[4:]:",
        "        if not sha256(block).digest():",
        ("tests/ingester/repo/test_car.py",),
    ),
    Mutant(
        "a block of an export need not be what its CID says",
        "ingester/repo/car.py",
        "if hashlib.sha256(data[start:end]).digest() != cid[4:]:",
        "if not hashlib.sha256(data[start:end]).digest():",
        ("tests/ingester/repo/test_car.py",),
    ),
    Mutant(
        "keys of a tree may stand in any order",
        _MST,
        "if keys[0] <= low or (high is not None and keys[-1] >= high):",
        "if not keys[0]:",
        _BY_MST,
    ),
    Mutant("keys of a tree may stand at any layer", _MST, "if node.layer != layer:", "if layer < -1:", _BY_MST),
    # --- inversion ---
    Mutant(
        "a path may hold another record than its operation says",
        _MST,
        "elif self.values[at] != op.cid:",
        "elif not self.values[at]:",
        _BY_MST,
    ),
    Mutant(
        "a deleted path may still be there",
        _MST,
        "        if op.cid is None:\n            if there:",
        "        if op.cid is None:\n            if not op.key:",
        _BY_MST,
    ),
    Mutant(
        "an inverted tree is not put into its one form",
        _MST,
        "    if removed:\n        spread.settle()",
        "    if removed is None:\n        spread.settle()",
        _BY_MST,
    ),
    Mutant(
        "a proof may leave out what an operation depends on",
        _MST,
        "            if self.gaps[at] is None:\n                return at, False",
        "            if self.gaps[at] not in self.nodes:\n                return at, False",
        _BY_MST,
    ),
    Mutant(
        "undone operations need not lead to prevData",
        _SYNC,
        "if event.prev_data is not None and before != event.prev_data:",
        "if event.prev_data is not None and not before:",
        _BY_SYNC,
    ),
    Mutant(
        "a created record may be left out",
        _SYNC,
        '    if block is None:\n        raise ProofError("record_block_missing"',
        '    if block is None and not op.path:\n        raise ProofError("record_block_missing"',
        _BY_SYNC,
    ),
    # --- the chain ---
    Mutant(
        "a commit need not follow the tree that is held",
        _SYNC,
        "    if event.prev_data != state.data:\n",
        "    if not event.prev_data:\n",
        _BY_SYNC,
    ),
    Mutant(
        "a commit without prevData follows whatever is held",
        _SYNC,
        "    if event.prev_data is None:\n        return Resync(",
        "    if event.prev_data == b'':\n        return Resync(",
        _BY_SYNC,
    ),
    Mutant(
        "a repository first seen is taken to be whole",
        _SYNC,
        '"first_commit" if before == EMPTY_ROOT else "first_seen"',
        '"first_commit"',
        _BY_SYNC,
    ),
    Mutant(
        "a #sync of another tree goes by",
        _SYNC,
        '    return Resync("sync_breaks_chain", head)',
        '    return Skip("replayed_rev")',
        _BY_SYNC,
    ),
)
