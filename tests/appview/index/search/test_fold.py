"""Texts as they are compared: what is the same, what is not, and that nothing breaks it."""

# ruff: noqa: RUF001 - letters that look like others are what this is about

import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appview.index.search import fold
from appview.index.search.documents import account, identify, list_, track

ALIKE = [
    ("Café del Mar", "CAFE DEL MAR", "cafe\u0301 del mar", "Cafè—del/Mar"),
    ("Don't", "Dont", "Don\u2019t", "DON\uff07T", "don`t", "Don\u02bct"),
    ("ＦＵＬＬ ｗｉｄｔｈ", "full width", "Full\u3000Width", "“full” «width»"),
    ("Straße", "STRASSE", "strasse"),
    ("İstanbul", "istanbul", "ıstanbul", "ISTANBUL"),
    ("Ólafur Arnalds", "olafur arnalds"),
    ("Łódź Ærø", "lodz aero"),
    ("Ελλάδα", "ΕΛΛΑΔΑ", "ελλαδα"),
    ("Всё ещё", "ВСЕ ЕЩЕ"),
    ("حُبّ", "حب", "حـــب"),
    ("أحبك", "احبك", "إحبك"),
    ("שָׁלוֹם", "שלום"),
    ("ﾗﾌﾞ", "ラブ"),
    ("ﷺ", "صلى الله عليه وسلم"),
    ("AC/DC", "ac dc", "AC–DC", "  ac   dc  "),
    ("No. 5 ½", "no 5 1 2"),
    ("❤️ fire", "❤ FIRE"),
    ("", " ", "...", "—’—", "\u200b"),
]

APART = [("か", "が"), ("हिंदी", "हदी"), ("ที่", "ท"), ("사랑", "사람"), ("🔥", "💧"), ("resume", "resumes"), ("1", "2")]

WORDS = [
    ("東京", ("東京", "京")),
    ("東京の夜", ("東京", "京の", "の夜", "夜")),
    ("東京night", ("東京", "京", "night")),
    ("사랑해", ("사랑", "랑해", "해")),
    ("ラブソング", ("ラブ", "ブソ", "ソン", "ング", "グ")),
    ("京", ("京",)),
    ("🔥🔥🔥", ("🔥", "🔥", "🔥")),
    ("Love Me Again", ("love", "me", "again")),
    ("x" * 40, ("x" * 32,)),
    ("", ()),
]


@pytest.mark.parametrize("texts", ALIKE, ids=lambda texts: texts[0] or "nothing")
def test_it_is_all_the_same(texts: tuple[str, ...]) -> None:
    assert len({fold.fold(text) for text in texts}) == 1


@pytest.mark.parametrize("texts", APART)
def test_it_is_not_the_same(texts: tuple[str, str]) -> None:
    assert fold.fold(texts[0]) != fold.fold(texts[1])


@pytest.mark.parametrize(("text", "words"), WORDS)
def test_the_words_of_a_text(text: str, words: tuple[str, ...]) -> None:
    assert fold.words(fold.fold(text)) == words


@given(st.text(max_size=60))
@settings(max_examples=300)
def test_folding_is_done_once(text: str) -> None:
    folded = fold.fold(text)
    assert fold.fold(folded) == folded
    assert folded == " ".join(folded.split())
    assert not set(folded) & set("%_\\'\"|()[]{}.*+?^$\0")


@given(st.text(alphabet=st.characters(codec="utf-8")), st.integers(1, 3000))
def test_it_is_bounded(text: str, times: int) -> None:
    folded = fold.fold(text * times)
    words = fold.words(folded)
    assert len(folded) <= fold.MAX_TEXT
    assert len(words) <= fold.MAX_WORDS
    assert all(0 < len(word) <= fold.MAX_WORD for word in words)
    assert len(fold.name(words)) <= fold.MAX_NAME


def test_every_character_that_is_not_like_itself() -> None:
    for point in range(sys.maxunicode + 1):
        letter = chr(point)
        if unicodedata.normalize("NFKD", letter.casefold()) != letter or unicodedata.category(letter)[0] in "MS":
            folded = fold.fold(letter)
            assert fold.fold(folded) == folded, hex(point)


@given(st.text(alphabet="abÄé 東京のか사랑", min_size=1, max_size=30), st.integers(1, 30))
def test_the_beginning_of_a_text_is_the_beginning_of_its_name(text: str, length: int) -> None:
    whole, some = (fold.name(fold.words(fold.fold(part))) for part in (text, text[:length]))
    assert whole.startswith(some)


def test_what_is_found_by_what() -> None:
    uri, did = "at://did:plc:a/fm.plyr.track/1", "did:plc:a"
    of = track(uri, did, "Love, Love", "Love Inc.", None)
    assert of is not None
    assert (of.names, of.words, of.text) == (("love love",), ("love", "inc"), " love inc ")
    assert track(uri, did, "…", "", None) is None
    assert list_(uri, did, None) is None
    assert account(did, None, "!") is None
    of = account(did, "dj-alice.bsky.social", "DJ Alice ☀")
    assert of is not None
    assert of.names == ("dj alice bsky social", "dj alice ☀")
    assert of.words == ("dj", "alice", "☀")
    assert of.id == identify(did)
