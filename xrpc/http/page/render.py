"""The page at `/` as HTML. Pure: what is shown comes in, one document comes out."""

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from string import Template
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode, urlsplit
from zlib import crc32

from appview.config import Config
from appview.reads.times import instant
from lexicons.catalog import Catalog, Schema
from xrpc.http.page.examples import Samples, example
from xrpc.http.page.html import Html, fill, joined

_TEMPLATES: Final = Path(__file__).with_name("templates")


def _template(name: str) -> Template:
    return Template((_TEMPLATES / f"{name}.html").read_text("utf-8"))


_PAGE: Final = _template("page")
_STATE: Final = _template("state")
_TRACKS: Final = _template("tracks")
_TRACK: Final = _template("track")
_IMAGE: Final = _template("image")
_METHOD: Final = _template("method")
_PARAMETERS: Final = _template("parameters")
_ENTER: Final = Html('<a class="enter" href="/account">Your account</a>')
_PARAGRAPH: Final = Template("<p>$text</p>\n")
_NOTE: Final = Template('<p class="note">$text</p>\n')
_LIST: Final = Template("<ul>$items</ul>\n")
_ITEM: Final = Template("<li>$text</li>")
_TRACK_LIST: Final = Template('<ul class="tracks">\n$items</ul>\n')
_TOTALS: Final = Template('<dl class="totals">$items</dl>\n')
_TOTAL: Final = Template("<div><dt>$name</dt><dd>$n</dd></div>")
_TIME: Final = Template('<time datetime="$at">$text</time>')
_ASK: Final = Template('<a class="ask" href="$url" aria-label="Ask $nsid">Ask it →</a>')
_PARAMETER: Final = Template("<dt><code>$name</code>$required</dt><dd>$description</dd>\n")

STYLE: Final = Html((_TEMPLATES / "style.css").read_text("utf-8"))
_STYLE_HASH: Final = b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

_MAX_NAME: Final = 120
"""Characters of a title or a name that are shown; the answer behind the link has all."""
_MAX_IMAGE_URL: Final = 500
_COLORS: Final = 6
_COUNTED: Final = ("tracks", "likes", "comments", "lists")
_UNITS: Final = ((86_400, "day"), (3600, "hour"), (60, "minute"))
_OLD: Final = 14 * 86_400
"""Seconds after which a date says more than an age."""
_NO_HANDLE: Final = "handle.invalid"
_NO_AUTH: Final = " Does not require auth."


class Content(NamedTuple):
    """What the index has to say at one moment."""

    stats: Mapping[str, Any]
    """The answer of `server.getStats`."""
    lags: Sequence[str]
    """Every reason why the index is not up to date; none when it is."""
    samples: Samples
    times: Mapping[str, datetime]
    """When the tracks were made, by URI."""
    now: datetime


def policy(*, dev: bool) -> str:
    """The Content-Security-Policy of the page: its own style, images over https, and nothing else."""
    images = "https: http: data:" if dev else "https: data:"
    return (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src {images}; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def page(config: Config, catalog: Catalog, nsids: Iterable[str], content: Content | str) -> Html:
    """The document; `content` as a text is the reason why there is nothing to show."""
    if isinstance(content, str):
        samples = Samples()
        state, tracks = fill(_STATE, tone="bad", title="Out of order", rest=fill(_PARAGRAPH, text=content)), Html()
    else:
        samples = content.samples
        state, tracks = _state(content), _tracks(config.namespace, content)
    methods = (_method(nsid, catalog.definition(nsid), samples) for nsid in sorted(nsids))
    return fill(
        _PAGE,
        style=STYLE,
        host=urlsplit(config.public_url).netloc,
        enter=_ENTER if config.secret_key is not None else "",
        namespace=f"{config.namespace}.*",
        state=state,
        tracks=tracks,
        methods=joined(*methods),
        service=config.service_did,
    )


def _state(content: Content) -> Html:
    stats, now = content.stats, content.now
    tone, title = _freshness(content)
    moments = (("newest track", stats.get("newestTrackAt")), ("last word from the network", _last_frame(stats)))
    known = [(what, _time(datetime.fromisoformat(at), now)) for what, at in moments if at is not None]
    totals = [(name, stats["totals"][name]) for name in _COUNTED] + [("repositories", sum(stats["repos"].values()))]
    rest = [
        *(fill(_PARAGRAPH, text=joined(Html(f"{what} "), when)) for what, when in known),
        *([fill(_LIST, items=joined(*(fill(_ITEM, text=lag) for lag in content.lags)))] if content.lags else []),
        fill(_TOTALS, items=joined(*(fill(_TOTAL, name=name, n=f"{n:,}") for name, n in totals))),
    ]
    return fill(_STATE, tone=tone, title=title, rest=joined(*rest))


def _freshness(content: Content) -> tuple[str, str]:
    """The tone and the title of the state."""
    if not content.lags:
        return "good", "Up to date"
    ingesters = content.stats["ingesters"]
    live = any(upstream["state"] == "live" for ingester in ingesters for upstream in ingester["upstreams"])
    if live and any(ingester.get("catchingUp") for ingester in ingesters):
        return "wait", "Catching up with the network"
    return "wait", "Not up to date: this is what was indexed before"


def _last_frame(stats: Mapping[str, Any]) -> str | None:
    times = [up["lastFrameAt"] for one in stats["ingesters"] for up in one["upstreams"] if "lastFrameAt" in up]
    return max(times, default=None)


def _tracks(namespace: str, content: Content) -> Html:
    tracks = content.samples.tracks
    if not tracks:
        return fill(_TRACKS, tracks=fill(_NOTE, text="None is here yet."))
    items = joined(*(_track(namespace, track, content) for track in tracks))
    return fill(_TRACKS, tracks=fill(_TRACK_LIST, items=items))


def _track(namespace: str, track: Mapping[str, Any], content: Content) -> Html:
    author, image = track["author"], track.get("image", "")
    counts = [
        f" · {track[count]:,}\N{NO-BREAK SPACE}{name}{'' if track[count] == 1 else 's'}"
        for count, name in (("likeCount", "like"), ("commentCount", "comment"))
        if track[count]
    ]
    return fill(
        _TRACK,
        color=crc32(track["uri"].encode()) % _COLORS,
        image=fill(_IMAGE, url=image) if 0 < len(image) <= _MAX_IMAGE_URL else "",
        answer=f"/xrpc/{namespace}.feed.getTracks?{urlencode({'uris': track['uri']}, safe=':')}",
        title=_cut(track["title"]),
        artist=_cut(track["artist"]),
        profile=f"/xrpc/{namespace}.actor.getProfile?{urlencode({'actor': author['did']}, safe=':')}",
        author=_cut(author["did"] if author["handle"] == _NO_HANDLE else f"@{author['handle']}"),
        when=_time(content.times[track["uri"]], content.now),
        counts="".join(counts),
    )


def _cut(text: str) -> str:
    return text if len(text) <= _MAX_NAME else f"{text[:_MAX_NAME]}…"


def _time(moment: datetime, now: datetime) -> Html:
    return fill(_TIME, at=instant(moment), text=_ago((now - moment).total_seconds(), moment))


def _ago(seconds: float, moment: datetime) -> str:
    if seconds >= _OLD:
        return f"{moment.day} {moment:%B %Y}"
    for unit, name in _UNITS:
        count = int(seconds // unit)
        if count > 0:
            return f"{count} {name}{'' if count == 1 else 's'} ago"
    return "just now"


def _method(nsid: str, definition: Schema, samples: Samples) -> Html:
    url = example(nsid, definition, samples)
    declared = definition.get("parameters") or definition.get("input", {}).get("schema", {})
    required = declared.get("required", ())
    parameters = [
        fill(
            _PARAMETER,
            name=parameter,
            required=" required" if parameter in required else "",
            description=field.get("description", ""),
        )
        for parameter, field in declared.get("properties", {}).items()
    ]
    name = nsid.rpartition(".")[2]
    return fill(
        _METHOD,
        group=nsid.removesuffix(name),
        name=name,
        link=fill(_ASK, url=url, nsid=nsid) if url is not None else "",
        description=definition.get("description", "").removesuffix(_NO_AUTH),
        parameters=fill(_PARAMETERS, nsid=nsid, parameters=joined(*parameters)) if parameters else "",
    )
