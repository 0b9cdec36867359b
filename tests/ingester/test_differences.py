"""What a repository and the index have not in common, by merging the two in their order."""

from collections.abc import AsyncIterator, Iterable

from hypothesis import given
from hypothesis import strategies as st

from ingester.differences import Difference, Held, differences
from ingester.export import Entry

PATHS = st.builds(
    lambda collection, rkey: f"{collection}/{rkey}",
    # One is the beginning of another, and what follows sorts before the slash, behind it, and behind the zero.
    st.sampled_from(["fm.plyr.like", "fm.plyr.like-x", "fm.plyr.like0", "fm.plyr.likes", "app.bsky.graph.follow"]),
    st.text("-.0AZ_az~:", min_size=1, max_size=3),
)
CIDS = st.sampled_from([b"1", b"2", b"3"])


async def each(items: Iterable[tuple[str, object]]) -> AsyncIterator[tuple[str, object]]:
    for item in sorted(items, key=lambda item: item[0].encode()):
        yield item


async def found(there: dict[str, bytes], here: dict[str, tuple[bytes | None, bool]]) -> list[Difference]:
    async def entries() -> AsyncIterator[Entry]:
        async for path, _ in each(there.items()):
            yield Entry(path, there[path])

    async def held() -> AsyncIterator[Held]:
        async for path, _ in each(here.items()):
            yield Held(path, *here[path])

    return [difference async for difference in differences(entries(), held())]


@given(st.dictionaries(PATHS, CIDS), st.dictionaries(PATHS, st.tuples(st.none() | CIDS, st.booleans())))
async def test_written_over_what_is_here_they_make_what_is_there(
    there: dict[str, bytes], here: dict[str, tuple[bytes | None, bool]]
) -> None:
    changes = await found(there, here)
    assert [change.path for change in changes] == sorted({change.path for change in changes}, key=str.encode)
    for path, cid in changes:
        before, is_sound = here.get(path, (None, True))
        assert before != cid or not is_sound, "nothing is written that is so already"
    after = {path: cid for path, (cid, is_sound) in here.items() if is_sound or cid is None} | dict(changes)
    assert {path: cid for path, cid in after.items() if cid is not None} == there


async def test_an_end_that_was_not_proven_is_written_again() -> None:
    here: dict[str, tuple[bytes | None, bool]] = {"a/1": (None, False), "a/2": (None, True)}
    assert await found({}, here) == [("a/1", None)]


async def test_a_record_whose_bytes_are_not_its_own_is_written_again() -> None:
    here: dict[str, tuple[bytes | None, bool]] = {"a/1": (b"1", True), "a/2": (b"1", False), "a/3": (None, True)}
    assert await found({"a/1": b"1", "a/2": b"1"}, here) == [("a/2", b"1")]
