"""What is found by a few words, and in which order.

Five tiers, each behind the one before it: names that are what was asked; names that begin so; what has every word (the
last may be the beginning of one); what has the one word within others; what has words that are a slip or two away from
those that hardly occur. Within a tier the more popular come first (`search_documents.level`), then the order of the
words that matched. Each tier is a row of scans of an index, begun where the page before ended, and a page stops when it
is full: it costs the same however many match. So pages neither skip nor repeat what kept its place.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from appview.db import Connection
from appview.index.search.documents import KINDS, Kind
from appview.reads.pages import Page, within
from appview.reads.search.asked import Asked, ask
from appview.reads.visibility import visible

Rank: TypeAlias = tuple[int, str, int]
"""The place of what was found in the order of a search: tier and level, what matched, and the document's number."""

EXACT, PREFIX, WORDS, WITHIN, NEAR = range(5)
"""The tiers."""

_LEVELS: Final = 6
_LEAST, _MOST = -(1 << 63), (1 << 63) - 1
_OF_AUTHOR: Final = 5_000
_WALKED: Final = 4_000
"""Of the documents that have a word, at most so many are looked at in one scan for whether they have the others too; a
tenth of them, where words may be misspelt.
"""


class Step(NamedTuple):
    """One scan: what matches in a tier at one level, from behind `start` and the number `after` up to `until`."""

    tier: int
    level: int
    start: str
    after: int
    until: str


# In the order of the steps, each ended by the limit: a page that is full begins no further scan.
_NAMES: Final = """
    select steps.tier * 8 + 5 - steps.level as rank, found.name as term, found.id, found.key
    from unnest($2::int[], $3::int[], $4::text[], $5::bigint[], $6::text[]) as steps (tier, level, start, after, until)
    cross join lateral (
        select held.name, held.id, of.key
        from search_names as held join search_documents as of using (id)
        where held.kind = {kind} and held.level = steps.level
            and (held.name, held.id) > (steps.start, steps.after) and held.name < steps.until
            and not exists (
                select from unnest(of.names) as other where starts_with(other, $12) and other < held.name
            )
            and {condition}
        order by held.name, held.id limit $1
    ) as found
"""
_POSTINGS: Final = """
    select steps.tier * 8 + 5 - steps.level, found.word, found.id, found.key
    from unnest($7::int[], $8::int[], $9::text[], $10::bigint[], $11::text[])
        as steps (tier, level, start, after, until)
    cross join lateral (
        select held.word, held.id, of.key
        from (
            select * from search_postings
            where kind = {kind} and level = steps.level
                and (word, id) > (steps.start, steps.after) and word < steps.until
            order by word, id limit $20 / case steps.tier when 4 then 10 else 1 end
        ) as held
        join search_documents as of using (id)
        where (steps.tier <> 2 or not exists (
                select from unnest($19::text[]) as other where not exists (
                    select from search_postings as its
                    where (its.kind, its.level, its.word, its.id) = ({kind}, steps.level, other, held.id)
                )
            ))
            and case steps.tier
                when 2 then of.words like all ($13::text[])
                when 3 then of.words not like all ($13::text[])
                else of.words ~ all ($14::text[]) and of.words not like $15 and not of.words like all ($13::text[])
            end
            and not exists (select from unnest(of.names) as name where starts_with(name, $12))
            and not exists (
                select from unnest(string_to_array(of.words, ' ')) as other
                where other < held.word and case steps.tier
                    when 2 then starts_with(other, $16)
                    when 3 then other = any ($17::text[])
                    else other = any ($18::text[])
                end
            )
            and {condition}
        order by held.word, held.id limit $1
    ) as found
"""
_RANKING: Final = """
    select {kind} as kind, rank, term, id, key,
        (select octet_length(value) from records where uri = key) as size
    from ({names} union all {postings}) as found limit $1
"""

_AUTHOR: Final = f"""
    select rank, '' as term, id, key, (select octet_length(value) from records where uri = key) as size
    from (
        select of.id, of.key, 5 - of.level + 8 * case
            when $3 = any (of.names) then 0
            when exists (select from unnest(of.names) as name where starts_with(name, $3)) then 1
            when of.words like all ($4::text[]) then 2
            when of.words like $5 then 3
            when of.words ~ all ($6::text[]) then 4
        end as rank
        from (
            select uri from tracks where did = $2 and {visible("tracks.did")} order by sort_at desc, uri desc limit $9
        ) as theirs
        join search_documents as of on of.id = search_id(theirs.uri)
    ) as found
    where (rank, id) > ($7::bigint, $8) order by rank, id limit $1
"""  # noqa: S608 - a condition of our own


class Found(NamedTuple):
    """Something that was found: its DID, if it is an account, else its URI."""

    kind: Kind
    key: str


async def find(
    connection: Connection, kind: Kind, text: str, *, after: Rank | None, limit: int, list_type: str | None = None
) -> Page[Rank]:
    """Which accounts, tracks or lists (of this type, where one is given) does `text` find? At most two statements."""
    asked = await ask(connection, text)
    if asked is None:
        return Page([], None)
    of_type = "" if list_type is None else " and exists (select from lists where uri = of.key and list_type = $21)"
    given = () if list_type is None else (list_type,)
    rows = await connection.fetch(_ranking(kind, of_type), limit + 1, *_arguments(asked, after), *given)
    rows.sort(key=lambda row: (row["rank"], row["term"], row["id"]))
    kept, more = within(rows, limit)
    last = (kept[-1]["rank"], kept[-1]["term"], kept[-1]["id"]) if more else None
    return Page([row["key"] for row in kept], last)


async def find_by(connection: Connection, did: str, text: str, *, after: Rank | None, limit: int) -> Page[Rank]:
    """Which tracks of this account does `text` find, among its newest 5,000? At most two statements."""
    asked = await ask(connection, text)
    if asked is None:
        return Page([], None)
    rank, _, id_ = after or (-1, "", 0)
    rows = await connection.fetch(
        _AUTHOR,
        limit + 1,
        did,
        asked.name,
        [slot.pattern for slot in asked.slots],
        _inside(asked),
        _meant(asked) or [" $ "],
        rank,
        id_,
        _OF_AUTHOR,
    )
    kept, more = within(rows, limit)
    return Page([row["key"] for row in kept], (kept[-1]["rank"], "", kept[-1]["id"]) if more else None)


async def find_all(connection: Connection, kinds: Sequence[Kind], text: str, *, limit: int) -> list[Found]:
    """What does `text` find among all of these kinds, in one order? At most two statements."""
    asked = await ask(connection, text)
    if asked is None or not kinds:
        return []
    sql = " union all ".join(f"({_ranking(kind)})" for kind in KINDS if kind in kinds)
    rows = await connection.fetch(sql, limit, *_arguments(asked, None))
    rows.sort(key=lambda row: (row["rank"], row["kind"], row["term"], row["id"]))
    kept, _ = within(rows, limit)
    names = {number: kind for kind, number in KINDS.items()}
    return [Found(names[row["kind"]], row["key"]) for row in kept]


def _ranking(kind: Kind, condition: str = "") -> str:
    number, shown = KINDS[kind], visible("of.did") + condition
    names, postings = (part.format(kind=number, condition=shown) for part in (_NAMES, _POSTINGS))
    return _RANKING.format(kind=number, names=names, postings=postings)


def _arguments(asked: Asked, after: Rank | None) -> list[object]:
    """What `_RANKING` takes from `$2` on."""
    driver = min(asked.slots, key=lambda slot: slot.n)
    meant = _meant(asked)
    # The last word, unless it was corrected, may be the beginning of very many.
    whole = [(slot.meant_n, slot.meant or (slot.word,)) for slot in asked.slots if slot.meant or not slot.is_last]
    alternatives = min(whole)[1] if meant else ()
    names = [step for tier in (EXACT, PREFIX) for step in _name_steps(asked, tier)]
    postings = [
        *(_word_steps(WORDS, [(driver.word, driver.until)]) if driver.n else ()),
        *_word_steps(WITHIN, [(word, f"{word} ") for word in asked.within]),
        *_word_steps(NEAR, [(word, f"{word} ") for word in alternatives]),
    ]
    return [
        *_columns(_behind(names, after)),
        *_columns(_behind(postings, after)),
        asked.name,
        [slot.pattern for slot in asked.slots],
        meant,
        _inside(asked),
        driver.word,
        asked.within,
        alternatives,
        [slot.word for slot in asked.slots if slot is not driver and not slot.is_last],
        _WALKED,
    ]


def _meant(asked: Asked) -> list[str]:
    """What each word may stand for, where one of them is misspelt and all are known."""
    if not any(slot.meant for slot in asked.slots) or not all(slot.meant_n for slot in asked.slots):
        return []
    return [slot.expression for slot in asked.slots]


def _inside(asked: Asked) -> str:
    """The one word of a query, within the words of a document, for LIKE; what matches nothing, where there are more."""
    return f"%{asked.slots[0].word}%" if len(asked.slots) == 1 else ""


def _name_steps(asked: Asked, tier: int) -> list[Step]:
    after, until = (_LEAST, f"{asked.name} ") if tier == EXACT else (_MOST, asked.name_end)
    return [Step(tier, level, asked.name, after, until) for level in reversed(range(_LEVELS))]


def _word_steps(tier: int, ranges: Sequence[tuple[str, str]]) -> list[Step]:
    return [Step(tier, level, start, _LEAST, until) for level in reversed(range(_LEVELS)) for start, until in ranges]


def _behind(steps: Sequence[Step], after: Rank | None) -> list[Step]:
    """The steps that are left where a page ended at `after`."""
    if after is None:
        return list(steps)
    at, term, id_ = after
    left = []
    for step in steps:
        rank = step.tier * 8 + 5 - step.level
        if rank == at and step.start <= term < step.until:
            left.append(step._replace(start=term, after=id_))
        elif (rank, step.start) > (at, term):
            left.append(step)
    return left


def _columns(steps: Sequence[Step]) -> Sequence[Sequence[object]]:
    return list(zip(*steps, strict=True)) or [()] * len(Step._fields)
