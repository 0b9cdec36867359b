"""Items of lists put on, taken off and moved, also of lists that are broken, and by two editors at once."""

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appview.writes.edits import lists
from appview.writes.edits.lists import ItemNotFound, NoItems, Place, TooManyItems

ODD: Final[list[Any]] = [{"note": "no subject"}, "text", None, {"subject": {"cid": "x"}}, {"subject": "at://x"}]


def ref(name: str) -> dict[str, str]:
    return {"uri": f"at://did:plc:a/fm.plyr.track/{name}", "cid": f"cid-of-{name}"}


def item(name: str, **more: Any) -> dict[str, Any]:
    return {"subject": ref(name), **more}


def playlist(*names: str) -> dict[str, Any]:
    return {"name": "Mix", "items": [item(name) for name in names]}


def at(name: str, position: int | None = None) -> Place:
    return Place(ref(name)["uri"], position)


def spelt(items: list[Any] | None) -> str | None:
    """The names of tracks, one letter each; `?` for what names none."""
    if items is None:
        return None
    return "".join(
        one["subject"]["uri"].rpartition("/")[2]
        if type(one) is dict and type(one.get("subject")) is dict and "uri" in one["subject"]
        else "?"
        for one in items
    )


@pytest.mark.parametrize(
    ("names", "position", "after"),
    [
        ("c", None, "abc"),
        ("cd", 0, "cdab"),
        ("cd", 1, "acdb"),
        ("c", 99, "abc"),
        ("a", None, None),
        ("ca", 0, "cab"),
        ("cc", None, "abc"),
    ],
)
def test_items_are_added_where_they_are_not_there_yet(names: str, position: int | None, after: str | None) -> None:
    assert spelt(lists.added(playlist("a", "b"), [ref(name) for name in names], position)) == after


def test_duplicates_are_added_where_they_are_wanted() -> None:
    assert spelt(lists.added(playlist("a"), [ref("a"), ref("a")], 0, duplicates=True)) == "aaa"


def test_a_list_may_have_500_items() -> None:
    full = {"items": [item(str(number)) for number in range(499)]}
    assert len(lists.added(full, [ref("last")]) or ()) == 500
    with pytest.raises(TooManyItems, match="499 items, 2 are to be added"):
        lists.added(full, [ref("x"), ref("y")])
    longer = {"items": [item(str(number)) for number in range(800)]}
    assert lists.added(longer, [ref("3")]) is None
    with pytest.raises(TooManyItems):
        lists.added(longer, [ref("x")])
    # What others made longer can be ordered and made shorter.
    assert len(lists.removed(longer, [at("3")]) or ()) == 799
    assert len(lists.moved(longer, at("3"), 0) or ()) == 800


@pytest.mark.parametrize(
    ("places", "after"),
    [
        ([at("a")], "bcb"),
        ([at("b")], "aca"),
        ([at("a", 0)], "bcab"),
        ([at("a", 1)], "bcab"),
        ([at("a", 2)], "abcb"),
        ([at("a", 3)], "abcb"),
        ([at("a", 99)], "abcb"),
        ([at("b", 1), at("b", 1)], "aca"),
        ([at("x"), at("y", 2)], None),
        ([], None),
    ],
)
def test_items_are_taken_off(places: list[Place], after: str | None) -> None:
    assert spelt(lists.removed(playlist("a", "b", "c", "a", "b"), places)) == after


@pytest.mark.parametrize(
    ("place", "position", "after"),
    [
        (at("a"), 2, "bcad"),
        (at("a"), 99, "bcda"),
        (at("d"), 0, "dabc"),
        (at("b"), 1, None),
        (at("b", 3), 1, None),
        (at("d"), 3, None),
        (at("d"), 9, None),
    ],
)
def test_an_item_is_moved(place: Place, position: int, after: str | None) -> None:
    assert spelt(lists.moved(playlist("a", "b", "c", "d"), place, position)) == after


def test_of_several_of_the_same_the_nearest_is_moved() -> None:
    assert spelt(lists.moved(playlist("a", "b", "a"), at("a", 2), 0)) == "aab"
    assert spelt(lists.moved(playlist("a", "b", "a"), at("a"), 1)) == "baa"


def test_what_is_not_there_cannot_be_moved() -> None:
    with pytest.raises(ItemNotFound):
        lists.moved(playlist("a"), at("b"), 0)
    with pytest.raises(ItemNotFound):
        lists.moved({}, at("b"), 0)


def test_broken_items_keep_their_places_and_all_that_is_in_them() -> None:
    kept = item("b", **{"org.example.note": {"deep": [1, {"$bytes": "AA=="}]}})
    record = {"items": [ODD[0], item("a"), *ODD[1:], kept]}
    assert lists.added(record, [ref("c")]) == [*record["items"], item("c")]
    assert lists.removed(record, [at("a")]) == [*ODD, kept]
    assert lists.moved(record, at("b"), 0) == [kept, ODD[0], item("a"), *ODD[1:]]
    for odd in ("text", {"a": 1}, None, 3):
        for edit in (("add", "c", None), ("remove", "a", None), ("move", "a", 0)):
            with pytest.raises(NoItems):
                apply(edit, {"items": odd})
    assert lists.added({}, [ref("a")]) == [item("a")]


# --- two editors ---

LETTERS: Final = "abcdefgh"
_positions = st.none() | st.integers(0, 9)
_names = st.text(LETTERS, min_size=1, max_size=3)

Edit = tuple[str, str, int | None]
"""What is done, to which tracks, and where."""


def apply(edit: Edit, record: dict[str, Any]) -> list[Any] | None:
    kind, names, position = edit
    if kind == "add":
        return lists.added(record, [ref(name) for name in names], position)
    if kind == "remove":
        return lists.removed(record, [at(name) for name in names])
    return lists.moved(record, at(names[0]), position or 0)


def raced(start: str, edits: list[Edit], turns: list[bool]) -> str:
    """What two editors come to who each do half of `edits`, read before the other wrote, and try again when they lost.

    `turns` says who reads or writes next; what is left is done in order.
    """
    items: list[Any] = [item(name) for name in start]
    version = 0
    queues = (edits[::2], edits[1::2])
    seen: list[tuple[int, list[Any]] | None] = [None, None]
    for turn in [*turns, *[True, False] * (4 * len(edits) + 4)]:
        who = int(turn)
        if not queues[who]:
            continue
        read = seen[who]
        if read is None:
            seen[who] = version, list(items)
            continue
        seen[who] = None
        if read[0] != version:
            continue
        try:
            after = apply(queues[who][0], {"items": read[1]})
        except ItemNotFound:
            after = None
        queues[who].pop(0)
        if after is not None:
            items, version = after, version + 1
    assert not any(queues)
    return spelt(items) or ""


@given(st.lists(st.tuples(st.just("add"), _names, _positions), max_size=8), st.lists(st.booleans(), max_size=40))
def test_what_two_editors_add_is_there_in_the_end(edits: list[Edit], turns: list[bool]) -> None:
    after = raced("ab", edits, turns)
    assert set(after) == set("ab").union(*(names for _, names, _ in edits))
    assert len(set(after)) == len(after)


@given(
    st.permutations(LETTERS),
    st.lists(st.tuples(st.just("move"), _names, _positions), max_size=8),
    st.lists(st.booleans(), max_size=40),
)
def test_nothing_is_lost_or_doubled_where_two_editors_move_things(
    start: list[str], edits: list[Edit], turns: list[bool]
) -> None:
    assert sorted(raced("".join(start), edits, turns)) == sorted(start)


@given(
    st.text(LETTERS, max_size=10),
    st.lists(
        st.tuples(st.sampled_from(["add", "move"]), st.text("abcd", min_size=1, max_size=3), _positions), max_size=4
    ),
    st.lists(st.tuples(st.just("remove"), st.text("efgh", min_size=1, max_size=3), st.none()), max_size=4),
    st.lists(st.booleans(), max_size=40),
)
def test_one_takes_off_while_the_other_adds_and_moves(
    start: str, puts: list[Edit], takes: list[Edit], turns: list[bool]
) -> None:
    nothing: Edit = ("add", "a", None)
    count = max(len(puts), len(takes))
    edits = [
        edit
        for pair in zip(
            [*puts, *[nothing] * (count - len(puts))],
            [*takes, *[("remove", "h", None)] * (count - len(takes))],
            strict=True,
        )
        for edit in pair
    ]
    after = raced(start, edits, turns)
    gone = set().union(*(names for kind, names, _ in edits if kind == "remove"))
    put = set().union(*(names for kind, names, _ in edits if kind == "add"))
    assert not gone & set(after)
    assert set(after) == (set(start) - gone) | put


@given(st.text(LETTERS, max_size=8), st.tuples(st.sampled_from(["add", "remove", "move"]), _names, _positions))
def test_an_edit_made_again_changes_nothing(start: str, edit: Edit) -> None:
    record = playlist(*start)
    try:
        after = apply(edit, record)
    except ItemNotFound:
        return
    if after is None or (edit[0] == "move" and start.count(edit[1][0]) > 1):
        return
    assert apply(edit, {**record, "items": after}) is None
