"""What to ask each method for, of what is really here: the queries behind the page's links. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from lexicons.catalog import Schema

_FEW: Final = 5


class Samples(NamedTuple):
    """What is in the index: the newest tracks and the newest list, as views."""

    tracks: Sequence[Mapping[str, Any]]
    list_: Mapping[str, Any] | None = None


def example(nsid: str, definition: Schema, samples: Samples) -> str | None:
    """The path and query of a request to `nsid` that has an answer; None when nothing here goes with a parameter.

    Given are the parameters that are required, and a small `limit` where there is one.
    """
    declared = definition.get("parameters", {})
    name = nsid.rpartition(".")[2]
    given: list[tuple[str, str]] = []
    for parameter in declared.get("required", ()):
        values = _values(name, parameter, samples)
        if not values:
            return None
        given += [(parameter, value) for value in values]
    if "limit" in declared.get("properties", {}):
        given.append(("limit", str(_FEW)))
    return f"/xrpc/{nsid}?{urlencode(given, safe=':')}" if given else f"/xrpc/{nsid}"


def _values(name: str, parameter: str, samples: Samples) -> list[str]:
    """What to give as `parameter`, which may take several values."""
    tracks, list_ = samples
    if parameter == "feed":
        return ["latest"]
    if list_ is not None:
        if parameter == "list":
            return [list_["uri"]]
        if parameter == "actor" and name == "getActorLists":
            return [list_["author"]["did"]]
    if not tracks:
        return []
    match parameter:
        case "actor":
            return [tracks[0]["author"]["did"]]
        case "uris":
            return [track["uri"] for track in tracks[:2]]
        case "uri":
            counted = {"getLikes": "likeCount", "getComments": "commentCount"}.get(name)
            return [max(tracks, key=lambda track: track[counted] if counted else 0)["uri"]]
    return []
