"""Misspelt words: how far one is from another, and that the dictionary knows all that are near."""

import random
from typing import Final

import pytest

from appview.db import Connection
from appview.reads.search.asked import slips

LETTERS: Final = "abcdeé東ж"


@pytest.mark.parametrize(
    ("word", "other", "count"),
    [
        ("love", "love", 0),
        ("love", "lvoe", 1),
        ("love", "lov", 1),
        ("love", "loove", 1),
        ("love", "lobe", 1),
        ("love", "evol", 3),
        ("weird", "wierd", 1),
        ("archangel", "archnagle", 2),
        ("abcd", "badc", 2),
        ("", "ab", 2),
    ],
)
def test_slips(word: str, other: str, count: int) -> None:
    assert slips(word, other) == slips(other, word) == count


async def test_the_dictionary_knows_all_that_are_near(connection: Connection) -> None:
    chance = random.Random(3)
    pairs = []
    for _ in range(1_500):
        word = "".join(chance.choices(LETTERS, k=chance.randint(3, 12)))
        other = word
        for _ in range(1 if len(word) < 6 else 2):
            other = slip(chance, other)
        if len(other) >= 3 and slips(word, other) <= min(2, len(other) // 3):
            pairs.append((word, other))
    assert len(pairs) > 1_000
    missed = await connection.fetch(
        "select * from unnest($1::text[], $2::text[]) as pair (word, other)"
        " where not search_near(word) && search_near(other)",
        *zip(*pairs, strict=True),
    )
    assert missed == []


def slip(chance: random.Random, word: str) -> str:
    at = chance.randrange(len(word))
    letter = chance.choice(LETTERS)
    return chance.choice(
        (
            word[:at] + word[at + 1 :],
            word[:at] + letter + word[at:],
            word[:at] + letter + word[at + 1 :],
            word[:at] + word[at + 1 : at + 2] + word[at : at + 1] + word[at + 2 :],
        )
    )
