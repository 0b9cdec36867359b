"""The cursor: never above what is not finished, and at the head when all is."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from ingester.events import MAX_SEQ
from ingester.stream import Stream


@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), min_size=1, max_size=60), st.randoms())
def test_the_cursor_is_the_highest_seq_below_which_everything_is_finished(
    steps: list[tuple[int, bool]], rng: Random
) -> None:
    stream = Stream("wss://relay.test", None)
    seq = 0
    open_: set[int] = set()
    for gap, is_ours in steps:
        seq += gap
        assert stream.is_new(seq)
        if is_ours:
            stream.begin(seq)
            open_.add(seq)
        else:
            stream.pass_by(seq)
        if open_ and rng.random() < 0.5:
            done = rng.choice(sorted(open_))
            open_.discard(done)
            stream.finish(done)
        assert stream.cursor == (min(open_) - 1 if open_ else seq)
    for left in open_:
        stream.finish(left)
    assert stream.cursor == seq
    assert stream.under_way == 0


def test_nothing_is_known_before_the_first_message() -> None:
    assert Stream("wss://relay.test", None).cursor is None
    assert Stream("wss://relay.test", 7).cursor == 7


def test_what_came_before_or_has_no_place_in_the_sequence_is_not_new() -> None:
    stream = Stream("wss://relay.test", 7)
    assert [stream.is_new(seq) for seq in (6, 7, 8, MAX_SEQ, MAX_SEQ + 1, True, "9", None)] == [
        False,
        False,
        True,
        True,
        False,
        False,
        False,
        False,
    ]
