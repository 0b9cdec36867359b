"""What is asked for: the words of a query, how often each occurs, and what was meant where one is misspelt."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg

from appview.db import Connection
from appview.index.search import fold

MAX_WORDS: Final = 12
"""Of a query; what comes behind is only compared as a part of a whole name."""
MIN_LETTERS: Final = 3
"""Of a word that is looked for within others, or may be misspelt."""

_END: Final = "\U0010ffff"
_RARE: Final = 10
"""A word that occurs in fewer documents may be another, misspelt."""
_COMMON: Final = 1_000
"""A word that occurs in so many documents is not looked for within others too."""
_EXPANDED: Final = 64
_NEAR: Final = 200
_MEANT: Final = 5
_WITHIN: Final = 16

# Of each word: in how many documents it is (with the last one: how many begin so, of the first few of them), which
# words are near it where that is rare, and, of one that is asked for alone, which words it is within.
_LOOK_UP: Final = """
    select asked.word, known.n, near.words, near.counts, within.words as outer
    from unnest($1::text[]) with ordinality as asked (word, place)
    cross join lateral (
        select coalesce(sum(n), 0)::bigint as n from (
            select n from search_words
            where word >= asked.word and word < case when place = $2 then asked.word || $3 else asked.word || ' ' end
            order by word limit $4
        ) as few
    ) as known
    cross join lateral (
        select array_agg(word) as words, array_agg(n) as counts from (
            select word, n from search_words
            where known.n < $5 and length(asked.word) >= $6
                and search_near(word) && search_near(asked.word) and length(word) >= 3 and word <> asked.word
                and abs(length(word) - length(asked.word)) <= 2
            order by n desc, word limit $7
        ) as few
    ) as near
    cross join lateral (
        select array_agg(word) as words from (
            select word from search_words
            where $2 = 1 and known.n < $8 and length(asked.word) >= $6
                and search_parts(word) @> search_parts(asked.word) and length(word) >= 3
                and word like '%_' || asked.word || '%'
            order by n desc, word limit $9
        ) as few
    ) as within
    order by place
"""


class Slot(NamedTuple):
    """A word of a query: `meant` are the words that stand for it where it may be misspelt, itself included if known."""

    word: str
    is_last: bool
    n: int
    meant: tuple[str, ...]
    meant_n: int

    @property
    def until(self) -> str:
        """What is behind every word that it stands for: those that begin so, for the last one."""
        return self.word + (_END if self.is_last else " ")

    @property
    def pattern(self) -> str:
        """It, among the words of a document, for LIKE."""
        return f"% {self.word}%" if self.is_last else f"% {self.word} %"

    @property
    def expression(self) -> str:
        """What was meant, among the words of a document, as a regular expression."""
        if self.meant:
            return f" ({'|'.join(self.meant)}) "
        return f" {self.word}" if self.is_last else f" {self.word} "


class Asked(NamedTuple):
    """A query. `within` are the words that hold the one that was asked for."""

    name: str
    slots: tuple[Slot, ...]
    within: tuple[str, ...]

    @property
    def name_end(self) -> str:
        """What is behind every name that begins so."""
        return self.name + _END


async def ask(connection: Connection, text: str) -> Asked | None:
    """What `text` asks for; None where there is no word in it. One statement, or none."""
    all_words = fold.words(fold.fold(text))
    words = tuple(dict.fromkeys(all_words[:MAX_WORDS]))
    if not words:
        return None
    rows = await connection.fetch(
        _LOOK_UP, words, len(words), _END, _EXPANDED, _RARE, MIN_LETTERS, _NEAR, _COMMON, _WITHIN
    )
    slots = tuple(_slot(row, is_last=place == len(words)) for place, row in enumerate(rows, 1))
    return Asked(fold.name(all_words), slots, tuple(sorted(rows[0]["outer"] or ())))


def slips(word: str, other: str) -> int:
    """How many letters are too many, missing, other ones, or exchanged with the next, to make `word` of `other`."""
    if word == other:
        return 0
    # What both begin and end with is no slip: mostly a letter or two are left.
    shorter = min(len(word), len(other))
    begin = next((at for at in range(shorter) if word[at] != other[at]), shorter)
    word, other, shorter = word[begin:], other[begin:], shorter - begin
    end = next((at for at in range(shorter) if word[-1 - at] != other[-1 - at]), shorter)
    word, other = word[: len(word) - end], other[: len(other) - end]
    if not word or not other:
        return len(word) + len(other)
    before: list[int] = []
    row = list(range(len(other) + 1))
    for place, letter in enumerate(word, 1):
        before, last, row = row, before, [place]
        for column, its in enumerate(other, 1):
            least = min(before[column] + 1, row[-1] + 1, before[column - 1] + (letter != its))
            if place > 1 < column and letter == other[column - 2] and its == word[place - 2]:
                least = min(least, last[column - 2] + 1)
            row.append(least)
    return row[-1]


def _slot(row: asyncpg.Record, *, is_last: bool) -> Slot:
    word, n = row["word"], row["n"]
    counts = dict(zip(row["words"] or (), row["counts"] or (), strict=True))
    meant = _nearest(word, list(counts))
    if meant and n:
        meant = [word, *meant]
    return Slot(word, is_last, n, tuple(sorted(meant)), n + sum(counts.get(near, 0) for near in meant))


def _nearest(word: str, candidates: Sequence[str]) -> list[str]:
    """Of `candidates`, the more frequent first, a few of those that are the fewest slips away, and not too many."""
    by_slips: dict[int, list[str]] = {}
    for candidate in candidates:
        by_slips.setdefault(slips(word, candidate), []).append(candidate)
    for few in range(1, min(2, len(word) // 3) + 1):
        if few in by_slips:
            return by_slips[few][:_MEANT]
    return []
