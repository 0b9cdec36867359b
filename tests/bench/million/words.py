"""Words as titles, names and remarks are made of: by Zipf's law, mostly Latin, and some of every script."""

import random
from functools import cache
from itertools import accumulate
from typing import Final

_LATIN: Final = """
    love night the of in a you my to blue dream heart time light rain summer fire city ocean moon remix
    dance gold house wild run sky lost deep star home live slow black ghost river dark morning kiss
    electric winter edit beat soul silver paradise echo storm shadow sun baby radio midnight strange
    wave stone falling sugar velvet intro mix forever never world acoustic version demo feat
    instrumental session bloom garden mirror glass paper signal drift
"""
_ELSEWHERE: Final = """
    夜明け 東京 桜 海 夢 星空 雨音 光 花火 心 恋 歌 春 月光 風 夜曲 青春 告白气球 晴天 稻香 江南 月亮 云 故乡 远方
    사랑 별 밤 봄날 꿈 바다
    비 하늘 ليل حبيبي
    قمر نور البحر قلب أغنية مطر любовь ночь звезда дождь весна город сердце café corazón canción
    señorita él über träume straße für ciel été cœur manhã saudade não dançar łódź noc çiçek gökyüzü
    ชีวิต รัก
"""
COMMON: Final = tuple(_LATIN.split())
_OTHERS: Final = tuple(_ELSEWHERE.split())
_ONSETS: Final = ("b", "br", "d", "dr", "f", "g", "h", "j", "k", "l", "m", "n", "p", "r", "s", "st", "t", "v", "w", "z")
_RIMES: Final = (
    "a",
    "e",
    "i",
    "o",
    "u",
    "an",
    "ar",
    "el",
    "en",
    "er",
    "ia",
    "in",
    "on",
    "or",
    "ul",
    "une",
    "ay",
    "eth",
)
_WORDS: Final = 30_000


@cache
def _vocabulary() -> tuple[list[str], list[float]]:
    rng = random.Random("words")
    words = dict.fromkeys(COMMON)
    while len(words) < _WORDS:
        if len(words) % 90 == 89:
            words[rng.choice(_OTHERS)] = None
        syllables = rng.choices((1, 2, 3, 4), (1, 6, 5, 2))[0]
        words["".join(rng.choice(_ONSETS) + rng.choice(_RIMES) for _ in range(syllables))] = None
    return list(words), list(accumulate(1 / (rank + 4) for rank in range(len(words))))


def words(rng: random.Random, count: int) -> list[str]:
    """`count` words, some of which may be the same."""
    known, weights = _vocabulary()
    return rng.choices(known, cum_weights=weights, k=count)


def title(rng: random.Random) -> str:
    """What a track, a list or an album is called: one to six words, now and then in another script alone."""
    if rng.random() < 0.06:
        return " ".join(rng.choices(_OTHERS, k=rng.randint(1, 3)))
    text = " ".join(words(rng, rng.choices((1, 2, 3, 4, 6), (2, 4, 3, 2, 1))[0]))
    return text.title() if rng.random() < 0.6 else text


def name(rng: random.Random) -> str:
    """What an artist or a listener goes by."""
    if rng.random() < 0.05:
        return "".join(rng.choices(_OTHERS, k=2))
    return " ".join(words(rng, rng.choices((1, 2, 3), (4, 5, 1))[0])).title()


def remark(rng: random.Random, most: int) -> str:
    """Up to `most` words."""
    return " ".join(words(rng, rng.randint(1, most)))
