"""Who there is, who made what and when, and what is liked: numbers alone, the same in every process that asks.

Accounts, tracks and lists are numbers from 0. An account's number is its rank as a listener, a track's its rank in age.
"""

import hashlib
import random
from array import array
from base64 import b32encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Final

SPAN_MS: Final = 730 * 86_400_000
"""How far back the oldest track lies."""
HITS: Final = 5
"""Tracks that every second account likes."""
TRACKS_OF_AN_ALBUM: Final = 10
_SEED: Final = "a million tracks"
_MIX: Final = 0xFFFF_FFFF


@dataclass(frozen=True)
class Shape:
    """A network of `tracks` tracks up to the moment `end_ms`, in milliseconds since the epoch."""

    tracks: int
    end_ms: int

    @property
    def accounts(self) -> int:
        """How many accounts there are; the last is the fan."""
        return self.tracks // 5

    @property
    def fan(self) -> int:
        """The account that likes a tenth of all tracks."""
        return self.accounts - 1

    @property
    def likes(self) -> int:
        """How many likes there are."""
        return 10 * self.tracks

    @property
    def buckets(self) -> int:
        """Likes are made in the order of time: those of each such part of it together."""
        return max(1, self.likes // 50_000)

    @property
    def comments(self) -> int:
        """How many comments there are."""
        return self.tracks

    @property
    def lists(self) -> int:
        """How many lists there are, albums among them."""
        return self.tracks // 5

    @property
    def follows(self) -> int:
        """How many follows there are."""
        return self.tracks

    def rng(self, *name: object) -> random.Random:
        """The chance of one part of the network, so that each part can be made by itself."""
        return random.Random(f"{_SEED} {self.tracks} {name}")

    @cached_property
    def dids(self) -> Sequence[str]:
        """Their DIDs."""
        return [did(number) for number in range(self.accounts)]

    @cached_property
    def authors(self) -> Sequence[int]:
        """The accounts that make music, the most productive first: three in ten."""
        return self.rng("authors").sample(range(self.accounts), self.accounts * 3 // 10)

    @cached_property
    def author_of(self) -> Sequence[int]:
        """The author of each track."""
        weights = zipf(len(self.authors), 0.8, 5)
        return array("I", self.rng("author of").choices(self.authors, cum_weights=weights, k=self.tracks))

    @cached_property
    def place_of(self) -> Sequence[int]:
        """Which of its author's tracks each track is, from 0."""
        made: dict[int, int] = {}
        places = array("I")
        for author in self.author_of:
            place = made.get(author, 0)
            places.append(place)
            made[author] = place + 1
        return places

    @cached_property
    def works(self) -> dict[int, Sequence[int]]:
        """The tracks of each author, oldest first."""
        found: dict[int, array[int]] = {}
        for track, author in enumerate(self.author_of):
            found.setdefault(author, array("I")).append(track)
        return dict(found)

    def album_of(self, track: int) -> int | None:
        """Which of its author's albums a track is on: the first six tenths of what an author made are on one."""
        place = self.place_of[track]
        on_albums = len(self.works[self.author_of[track]]) * 6 // 10
        return place // TRACKS_OF_AN_ALBUM if place < on_albums else None

    @cached_property
    def albums(self) -> Sequence[tuple[int, int]]:
        """All albums: author, and which of the author's."""
        return [
            (author, album)
            for author, works in self.works.items()
            for album in range(-(-(len(works) * 6 // 10) // TRACKS_OF_AN_ALBUM))
        ]

    def on_album(self, author: int, album: int) -> Sequence[int]:
        """The tracks of an album, in order."""
        works = self.works[author]
        first = album * TRACKS_OF_AN_ALBUM
        return works[first : min(first + TRACKS_OF_AN_ALBUM, len(works) * 6 // 10)]

    def made_at(self, track: int) -> int:
        """When a track was published, in milliseconds: more and more of them, up to the end."""
        share = 1 - (track + 0.5) / self.tracks
        return self.end_ms - 1 - int(SPAN_MS * share * share)

    @cached_property
    def by_rank(self) -> Sequence[int]:
        """The tracks, the most popular first; the first ones are the hits."""
        return array("I", self.rng("by rank").sample(range(self.tracks), self.tracks))

    @property
    def hits(self) -> Sequence[int]:
        """The tracks that every second account likes."""
        return self.by_rank[:HITS]

    @cached_property
    def _popularity(self) -> Sequence[float]:
        return zipf(self.tracks - HITS, 0.9, 10)

    @cached_property
    def _others(self) -> Sequence[int]:
        return self.by_rank[HITS:]

    def popular(self, rng: random.Random, count: int) -> list[int]:
        """`count` tracks that are no hits, by their popularity; some may be the same."""
        return rng.choices(self._others, cum_weights=self._popularity, k=count)

    @cached_property
    def _activity(self) -> Sequence[float]:
        return zipf(self.accounts, 0.6, 20)

    def active(self, rng: random.Random, count: int) -> list[int]:
        """`count` accounts, by how much they do."""
        return rng.choices(range(self.accounts), cum_weights=self._activity, k=count)

    @cached_property
    def _likes_each(self) -> Sequence[int]:
        """How many likes each account but the fan makes, of what is no hit."""
        of_hits = sum(self.likes_hit(account, hit) for hit in range(HITS) for account in range(self.fan))
        return parts(self.likes - self.tracks // 10 - of_hits, zipf(self.fan, 0.6, 20))

    def likes_hit(self, account: int, hit: int) -> bool:
        """Whether an account likes a hit: every second one does, and each hit has others."""
        return account != self.fan and not account >> hit & 1

    def liked_by(self, account: int) -> Iterator[tuple[int, bool]]:
        """The tracks that an account likes, each once; and, with True, the one that some like a second time."""
        if account == self.fan:
            rng = self.rng("fan")
            yield from ((track, False) for track in rng.sample(range(self.tracks), self.tracks // 10))
            return
        count = self._likes_each[account]
        twice = account % 10 == 0 and count >= 10
        rng = self.rng("likes", account)
        liked: dict[int, None] = {}
        while len(liked) < count - twice:
            liked.update(dict.fromkeys(self.popular(rng, count - twice - len(liked))))
        yield from ((track, False) for track in liked)
        if twice:
            yield next(iter(liked)), True
        yield from ((track, False) for hit, track in enumerate(self.hits) if self.likes_hit(account, hit))

    def liked_at(self, account: int, track: int, *, again: bool) -> int:
        """When an account came to like a track, in milliseconds: rather soon after it was published than late."""
        mixed = (account * 0x9E37_79B1 ^ track * 0x85EB_CA77 ^ again * 0x27D4_EB2F) & _MIX
        mixed = (mixed ^ mixed >> 15) * 0x2C1B_3C6D & _MIX
        mixed = (mixed ^ mixed >> 12) * 0x297A_2D39 & _MIX
        share = (mixed ^ mixed >> 15) / (_MIX + 1)
        made_at = self.made_at(track)
        return made_at + int((self.end_ms - made_at) * share * share)

    @cached_property
    def follows_each(self) -> Sequence[int]:
        """How many accounts each account follows."""
        return parts(self.follows, zipf(self.accounts, 0.6, 20))

    def followed_by(self, account: int) -> list[int]:
        """Whom an account follows, each once: the productive authors above all; every tenth is a stranger to the index,
        and has a number beyond the accounts.
        """
        rng = self.rng("follows", account)
        followed: dict[int, None] = {}
        count = min(self.follows_each[account], self.accounts // 2)
        while len(followed) < count:
            for author in rng.choices(self.authors, cum_weights=self._fame, k=count - len(followed)):
                other = rng.randrange(self.accounts, 2 * self.accounts) if rng.random() < 0.1 else author
                followed[other] = None
        return list(followed)

    @cached_property
    def _fame(self) -> Sequence[float]:
        return zipf(len(self.authors), 0.7, 10)


def did(number: int) -> str:
    """The DID of an account."""
    digest = hashlib.sha256(f"{_SEED} {number}".encode()).digest()
    return f"did:plc:{b32encode(digest[:15]).decode().lower()}"


def zipf(count: int, exponent: float, offset: int) -> Sequence[float]:
    """The cumulative weights of `count` ranks."""
    return array("d", accumulate((rank + offset) ** -exponent for rank in range(count)))


def parts(total: int, weights: Sequence[float]) -> Sequence[int]:
    """`total` in whole parts by cumulative `weights`."""
    ends = [round(total * weight / weights[-1]) for weight in weights]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]
