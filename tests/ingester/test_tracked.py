"""The compact set of DIDs, against a set of strings."""

import os
import random
import subprocess
import sys
import tracemalloc
from pathlib import Path

from ingester.tracked import Tracked

ROOT = Path(__file__).parents[2]
LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


def dids(count: int, seed: int) -> list[str]:
    rng = random.Random(seed)
    return ["did:plc:" + "".join(rng.choices(LETTERS, k=24)) for _ in range(count)]


def test_it_holds_what_a_set_holds() -> None:
    rng = random.Random(1)
    plain: set[str] = set()
    tracked = Tracked()
    some = dids(400, 2)
    for _ in range(4_000):
        did = rng.choice(some)
        if rng.random() < 0.5:
            plain.add(did)
            tracked.add(did)
        else:
            plain.discard(did)
            tracked.discard(did)
        assert len(tracked) == len(plain)
    assert plain
    assert [did for did in some if did in tracked] == [did for did in some if did in plain]


def test_many_in_each_bucket() -> None:
    tracked, inside = Tracked(), dids(200_000, 3)
    for did in inside:
        tracked.add(did)
    assert len(tracked) == len(inside)
    assert all(did in tracked for did in inside)
    assert not any(did in tracked for did in dids(20_000, 4))
    for did in inside[::2]:
        tracked.discard(did)
    assert not any(did in tracked for did in inside[::2])
    assert all(did in tracked for did in inside[1::2])


def test_a_did_takes_a_few_bytes() -> None:
    some = dids(100_000, 5)
    tracked = Tracked()
    tracemalloc.start()
    for did in some:
        tracked.add(did)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size / len(some) < 40


def test_whatever_is_no_text_is_not_in_it() -> None:
    tracked = Tracked()
    tracked.add("did:web:a.test")
    assert None not in tracked
    assert b"did:web:a.test" not in tracked
    assert ["did:web:a.test"] not in tracked


def test_nobody_knows_the_hashes_even_where_pythons_own_are_fixed() -> None:
    """Those who knew them could make a DID that is taken for another's."""
    told = "from ingester.tracked import Tracked as T; t = T(); t.add('did:web:a.test'); print(sorted(t._buckets)[-1])"
    fixed = {**os.environ, "PYTHONHASHSEED": "0"}
    first, second = (
        subprocess.run([sys.executable, "-c", told], env=fixed, cwd=ROOT, capture_output=True, check=True).stdout
        for _ in range(2)
    )
    assert first != second
