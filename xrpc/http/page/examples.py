"""What to ask each method for, of what is really here: the queries behind the links of the pages. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from lexicons.catalog import Schema
from xrpc.openapi import REQUIRES_AUTH

FEW: Final = 5
_MAX_WORD: Final = 40


class Samples(NamedTuple):
    """What is in the index: the newest tracks, the newest list and feed as views, and the account that liked last."""

    tracks: Sequence[Mapping[str, Any]] = ()
    list_: Mapping[str, Any] | None = None
    generator: Mapping[str, Any] | None = None
    fan: str | None = None
    skeleton: str = ""
    """The address of a feed whose skeletons are answered here."""


def example(nsid: str, definition: Schema, samples: Samples) -> str | None:
    """The path and query of a request to `nsid` that has an answer; None when nothing here goes with a parameter,
    where asking changes something, and where nobody is answered who does not say who they are.

    Given are the parameters that are required, and a small `limit` where there is one.
    """
    if definition["type"] != "query" or REQUIRES_AUTH in definition.get("description", ""):
        return None
    declared = definition.get("parameters", {})
    given: list[tuple[str, str]] = []
    for parameter in declared.get("required", ()):
        found = values(nsid, parameter, samples)
        if not found:
            return None
        given += [(parameter, value) for value in found]
    if "limit" in declared.get("properties", {}):
        given.append(("limit", str(FEW)))
    return f"/xrpc/{nsid}?{urlencode(given, safe=':')}" if given else f"/xrpc/{nsid}"


def values(nsid: str, parameter: str, samples: Samples) -> list[str]:
    """What to give as `parameter` of `nsid`, which may take several values; nothing when nothing here will do."""
    group, _, name = nsid.rpartition(".")
    of_method = _OF_METHOD.get(f"{group.rpartition('.')[2]}.{name}", {})
    find = of_method.get(parameter) or _OF_PARAMETER.get(parameter)
    return [value for value in (find(samples) if find else []) if value]


def _track(samples: Samples, counted: str | None = None) -> list[str]:
    """The newest track, or of the newest ones the one that has most of something."""
    if counted is None:
        return [track["uri"] for track in samples.tracks[:1]]
    return [max(samples.tracks, key=lambda track: track[counted])["uri"]] if samples.tracks else []


def _authors(samples: Samples) -> list[str]:
    return list(dict.fromkeys(track["author"]["did"] for track in samples.tracks))


def _word(samples: Samples) -> list[str]:
    """The first word of the newest title, if it is one that people would type."""
    return [word for track in samples.tracks[:1] for word in track["title"].split()[:1] if len(word) <= _MAX_WORD]


def _uri(view: Mapping[str, Any] | None) -> list[str]:
    return [] if view is None else [view["uri"]]


_Find = Callable[[Samples], list[str]]
_OF_PARAMETER: Final[Mapping[str, _Find]] = {
    "actor": lambda samples: _authors(samples)[:1],
    "actors": lambda samples: _authors(samples)[:2],
    "collection": lambda samples: [uri.split("/")[3] for uri in _track(samples)],
    "feed": lambda _: ["latest"],
    "feeds": lambda samples: _uri(samples.generator),
    "handle": lambda samples: [
        track["author"]["handle"] for track in samples.tracks if track["author"]["handle"] != "handle.invalid"
    ][:1],
    "list": lambda samples: _uri(samples.list_),
    "q": _word,
    "repo": lambda samples: _authors(samples)[:1],
    "rkey": lambda samples: [uri.split("/")[4] for uri in _track(samples)],
    "subject": lambda samples: _track(samples, "listCount"),
    "uri": _track,
    "uris": lambda samples: [track["uri"] for track in samples.tracks[:2]],
}
_OF_METHOD: Final[Mapping[str, Mapping[str, _Find]]] = {
    "feed.getActorFeeds": {"actor": lambda s: [] if s.generator is None else [s.generator["author"]["did"]]},
    "feed.getActorLikes": {"actor": lambda samples: [samples.fan or ""]},
    "feed.getComments": {"uri": lambda samples: _track(samples, "commentCount")},
    "feed.getFeedGenerator": {"feed": lambda samples: _uri(samples.generator)},
    "feed.getFeedSkeleton": {"feed": lambda samples: [samples.skeleton]},
    "feed.getLikes": {"uri": lambda samples: _track(samples, "likeCount")},
    "graph.getActorLists": {"actor": lambda s: [] if s.list_ is None else [s.list_["author"]["did"]]},
    "graph.getLists": {"uris": lambda samples: _uri(samples.list_)},
    "graph.searchLists": {"q": lambda s: [] if s.list_ is None else s.list_.get("name", "").split()[:1]},
}
"""Where the name of the parameter does not say enough, by the last two parts of the method's."""
