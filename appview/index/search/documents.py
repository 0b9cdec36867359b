"""What is found by what. Pure.

A track is found by its title, and by the words of its title, artist and album; a list by its name; an account by its
handle, with or without the domain, and by its display name.
"""

from hashlib import md5
from typing import Final, Literal, NamedTuple, TypeAlias

from appview.index.search import fold

Kind: TypeAlias = Literal["actor", "track", "list"]
KINDS: Final[dict[Kind, int]] = {"actor": 1, "track": 2, "list": 3}
"""As the tables have them."""


class Document(NamedTuple):
    """Something that can be found; `key` is a DID for accounts, else a URI, and `words` are each there once."""

    id: int
    kind: int
    key: str
    did: str
    names: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """The words as one text, a space before and behind each."""
        return f" {' '.join(self.words)} "


def identify(key: str) -> int:
    """The number of the document of `key`, the same wherever it is reckoned: as search_id in SQL.

    Two keys of the same number would be one document; to find another to a given one takes 2^64 attempts.
    """
    return int.from_bytes(md5(key.encode(), usedforsecurity=False).digest()[:8], "big", signed=True)


def track(uri: str, did: str, title: str, artist: str, album: str | None) -> Document | None:
    """What a track is found by; None where there is not a word in all it says."""
    return _record("track", uri, did, title, artist, album or "")


def list_(uri: str, did: str, name: str | None) -> Document | None:
    """What a list is found by; None where it has no name."""
    return _record("list", uri, did, name or "")


def account(did: str, handle: str | None, display_name: str | None) -> Document | None:
    """What an account is found by; None where it has neither a handle nor a name."""
    of_handle = fold.words(fold.fold(handle or ""))
    own = fold.words(fold.fold((handle or "").partition(".")[0]))
    shown = fold.words(fold.fold(display_name or ""))
    return _document("actor", did, did, (of_handle, shown), (*own, *shown))


def _record(kind: Kind, uri: str, did: str, *texts: str) -> Document | None:
    parts = [fold.words(fold.fold(text)) for text in texts]
    return _document(kind, uri, did, (parts[0],), tuple(word for part in parts for word in part))


def _document(
    kind: Kind, key: str, did: str, names: tuple[tuple[str, ...], ...], words: tuple[str, ...]
) -> Document | None:
    called = tuple(dict.fromkeys(fold.name(of) for of in names if of))
    if not called and not words:
        return None
    return Document(identify(key), KINDS[kind], key, did, called, tuple(dict.fromkeys(words)))
