"""Every forgery of the independent writer is refused for its own reason, and what is merely odd is not."""

import random

import pytest

from appview.keys import PublicKey
from ingester.events import EventError, parse_event
from ingester.sync import Apply, Decision, Hold, Invalid, RepoState, Resync, Signer, Skip, decide
from lexicons.frames import MAX_FRAME_BYTES, FrameError, decode_frame
from tests.writer.forge import FORGERIES, GENUINE, Forgery, removals
from tests.writer.keys import CURVES, Curve, SigningKey
from tests.writer.mining import LATEST, mine
from tests.writer.repo import Host, Repo, Write

VERDICTS = {Apply: "ok", Skip: "skip", Hold: "unchecked", Invalid: "invalid", Resync: "resync"}


def decision_of(case: Forgery) -> Decision:
    """The decision on a frame, given what may be known when it comes."""
    try:
        event = parse_event(decode_frame(case.frame))
    except FrameError as error:
        return Invalid("frame_too_large" if len(case.frame) > MAX_FRAME_BYTES else "bad_frame", str(error))
    except EventError as error:
        return Invalid(error.reason, str(error))
    state = case.prior and RepoState(case.prior.rev, case.prior.data)
    return decide(event, state, Signer(PublicKey.from_multikey(case.multikey)), case.now_us)


def judge(case: Forgery) -> tuple[str, str]:
    """The verdict on a frame and the reason."""
    decision = decision_of(case)
    return VERDICTS[type(decision)], decision.reason


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forgery_is_refused_for_its_own_reason(name: str) -> None:
    row = FORGERIES[name]
    for seed in range(3):
        verdict, reason = judge(row.build(random.Random(seed)))
        assert verdict == row.verdict, f"{reason}: {row.description}"
        assert reason in row.reasons, row.description


@pytest.mark.parametrize("name", GENUINE)
def test_what_is_odd_and_true_is_taken_in(name: str) -> None:
    row = GENUINE[name]
    for seed in range(3):
        verdict, reason = judge(row.build(random.Random(seed)))
        assert verdict == "ok", f"{reason}: {row.description}"


@pytest.mark.parametrize("seed", range(20))
def test_a_proof_without_a_node_that_it_needs_is_refused(seed: int) -> None:
    for removal in removals(random.Random(seed)):
        verdict, reason = judge(removal.forgery)
        if removal.reasons:
            assert (verdict, reason in removal.reasons) == ("invalid", True), reason
        else:
            assert verdict == "ok", reason


@pytest.mark.parametrize("curve", CURVES, ids=["p256", "k256"])
def test_a_frame_with_any_bit_turned_proves_nothing_else(curve: Curve) -> None:
    rng = random.Random(1)
    key = SigningKey.from_seed("turned", curve)
    repo = Repo("did:plc:abcdefghijklmnopqrstuvwx", key, Host(now_us=LATEST))
    repo.commit([Write("create", mine(rng), {"$type": "fm.plyr.like"}) for _ in range(40)])
    prior = repo.head
    event = repo.create(mine(rng), {"$type": "fm.plyr.track", "title": "t"})
    genuine = Forgery(event.frame(), repo.did, key.multikey, prior, repo.host.now_us)
    truth = decision_of(genuine)
    assert isinstance(truth, Apply)
    refused = 0
    for at in range(len(genuine.frame)):
        turned = bytearray(genuine.frame)
        turned[at] ^= 1 << rng.randrange(8)
        decision = decision_of(genuine._replace(frame=bytes(turned)))
        if isinstance(decision, Apply) and decision.reason != "unknown_type":
            assert (decision.head, decision.records) == (truth.head, truth.records), at
        else:
            refused += 1
    # What may differ unnoticed is seq, time, since, and the names and values of fields that nobody reads.
    assert refused > len(genuine.frame) - 100
