"""Texts as they are compared: without case, accents, width, quotes and punctuation. Pure, and never raises.

The same function for what is indexed and for what is asked. Chinese, Japanese and Korean put no spaces between words:
there, each letter begins a word of two, the last one of one (東京の is 東京 京の の), so that the beginning of a text
remains the beginning of its words.
"""

import unicodedata
from collections.abc import Iterator
from itertools import islice
from typing import Final

import regex

MAX_TEXT: Final = 1_000
"""In characters: what comes behind in a longer text is not compared."""
MAX_WORDS: Final = 64
MAX_WORD: Final = 32
MAX_NAME: Final = 64
"""In characters."""

_MARKS: Final = (
    *range(0x300, 0x370),  # of Latin, Greek and Cyrillic letters
    *range(0x1AB0, 0x1B00),
    *range(0x1DC0, 0x1E00),
    *range(0x20D0, 0x2100),
    *range(0xFE00, 0xFE10),  # variation selectors
    *range(0xFE20, 0xFE30),
    *range(0x591, 0x5BE),  # Hebrew points and cantillation
    *(0x5BF, 0x5C1, 0x5C2, 0x5C4, 0x5C5, 0x5C7),
    *range(0x610, 0x61B),  # Arabic vowels, signs and hamza
    *range(0x64B, 0x660),
    0x670,
    *range(0x6D6, 0x6DD),
    *range(0x6DF, 0x6E9),
    *range(0x6EA, 0x6EE),
    0x640,  # what only makes an Arabic word longer
    *(0xAD, 0x200B, 0x2060, 0xFEFF),  # nothing that is seen
)
# Quotes within a word: Don't, Don\u2019t and Dont are the same.
_QUOTES: Final = "'`\u00b4\u02b9\u02bb\u02bc\u02c8\u2018\u2019\u201a\u201b\u2032\u2035\u05f3\uff07\uff40"
# What no rule of Unicode takes for another letter, and people do.
_LETTERS: Final = {
    "\N{LATIN SMALL LETTER O WITH STROKE}": "o",
    "\N{LATIN SMALL LETTER L WITH STROKE}": "l",
    "\N{LATIN SMALL LETTER D WITH STROKE}": "d",
    "\N{LATIN SMALL LETTER H WITH STROKE}": "h",
    "\N{LATIN SMALL LETTER T WITH STROKE}": "t",
    "\N{LATIN SMALL LETTER DOTLESS I}": "i",
    "\N{LATIN SMALL LETTER AE}": "ae",
    "\N{LATIN SMALL LIGATURE OE}": "oe",
    "\N{LATIN SMALL LETTER ETH}": "d",
    "\N{LATIN SMALL LETTER THORN}": "th",
    "\N{ARABIC LETTER ALEF WASLA}": "\N{ARABIC LETTER ALEF}",
    "\N{ARABIC LETTER ALEF MAKSURA}": "\N{ARABIC LETTER YEH}",
    "\N{ARABIC LETTER FARSI YEH}": "\N{ARABIC LETTER YEH}",
    "\N{ARABIC LETTER KEHEH}": "\N{ARABIC LETTER KAF}",
    "\N{ARABIC LETTER TEH MARBUTA}": "\N{ARABIC LETTER HEH}",
}
_TABLE: Final = str.maketrans({**dict.fromkeys(map(chr, _MARKS)), **_LETTERS})
_NO_QUOTES: Final = str.maketrans(dict.fromkeys(_QUOTES))

_tokens = regex.compile(r"[\p{L}\p{N}\p{M}]+|\p{So}").findall
_UNSPACED: Final = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Bopomofo}\u3005\u30fc"
_has_unspaced = regex.compile(rf"[{_UNSPACED}]").search
_runs = regex.compile(rf"([{_UNSPACED}]+)|[^{_UNSPACED}]+").finditer


def fold(text: str) -> str:
    """The words of `text`, a single space between them; empty where there is none. Folding it again changes nothing."""
    text = text[:MAX_TEXT].translate(_NO_QUOTES)
    if not text.isascii():
        # To a letter may belong several marks, to its small form others, and to that a form that is more common.
        for _ in range(3):
            text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold()).translate(_TABLE)
            text = unicodedata.normalize("NFKC", text).translate(_NO_QUOTES)
    return " ".join(_tokens(text.lower() if text.isascii() else text))[:MAX_TEXT].rstrip()


def words(folded: str) -> tuple[str, ...]:
    """The words of a folded text as they are looked up, in its order: bounded in number and length."""
    if not _has_unspaced(folded):
        return tuple(word[:MAX_WORD] for word in folded.split(" ", MAX_WORDS)[:MAX_WORDS] if word)
    return tuple(islice(_divided(folded), MAX_WORDS))


def name(of_words: tuple[str, ...]) -> str:
    """These words as a whole, by which names are compared."""
    return " ".join(of_words)[:MAX_NAME]


def _divided(folded: str) -> Iterator[str]:
    for token in folded.split(" "):
        for run in _runs(token):
            letters = run.group()
            if run.group(1) is None:
                yield letters[:MAX_WORD]
            else:
                yield from (letters[place : place + 2] for place in range(len(letters)))
