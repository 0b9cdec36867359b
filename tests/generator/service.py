"""A service that answers for one feed: songs of under three minutes, newest first.

A caller who signed in does not get their own. To make another feed, change `Feed`; the rest is what every generator
needs: a DID document, a description, a skeleton by pages, and a look at who calls.
"""

import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.generator.caller import Callers, NotACaller

RKEY: Final = "short"
SKELETON: Final = "fm.plyr.feed.getFeedSkeleton"
LONGEST: Final = 180
"""Seconds of a song that is short."""
FRESH: Final = 5.0
"""Seconds between two looks at what is new."""


@dataclass(frozen=True)
class Settings:
    """Where this service is and whom it asks; origins without a slash at the end."""

    url: str
    """Under which the world, or at least the AppView, reaches this service."""
    publisher: str
    """The DID of the account whose record declares the feed."""
    appview: str
    plc: str = "https://plc.directory"

    @property
    def did(self) -> str:
        """Ours, which the record names."""
        return "did:web:" + self.url.partition("://")[2].replace(":", "%3A")

    @property
    def feed(self) -> str:
        """The address of the record that declares the feed."""
        return f"at://{self.publisher}/fm.plyr.feed.generator/{RKEY}"


@dataclass
class Feed:
    """The songs there are, newest first, looked at again every few seconds."""

    settings: Settings
    http: aiohttp.ClientSession
    songs: dict[str, str] = field(default_factory=dict)
    """What a page goes on by, a key and a DID, to the song's address."""
    looked_at: float = float("-inf")

    async def page(self, caller: str | None, limit: int, cursor: str | None) -> tuple[list[str], str | None]:
        """The songs behind the place `cursor`, and the place where the next page goes on."""
        if time.monotonic() - self.looked_at > FRESH:
            with suppress(aiohttp.ClientError, TimeoutError):
                await self.look()
        places = [
            place
            for place in sorted(self.songs, reverse=True)
            if (cursor is None or place < cursor) and place.partition(" ")[2] != caller
        ]
        page = places[:limit]
        return [self.songs[place] for place in page], page[-1] if len(places) > limit else None

    async def look(self) -> None:
        """Ask the AppView what is new. A larger feed would keep its songs, and follow the stream of records."""
        parameters = {"feed": "latest", "limit": "100"}
        url = f"{self.settings.appview}/xrpc/fm.plyr.feed.getFeed"
        async with self.http.get(url, params=parameters, raise_for_status=True) as answer:
            tracks = [item["track"] for item in (await answer.json())["feed"]]
        for track in tracks:
            if track.get("duration", LONGEST) < LONGEST:
                _, _, did, _, rkey = track["uri"].split("/")
                self.songs[f"{rkey} {did}"] = track["uri"]
        self.looked_at = time.monotonic()


def create_app(settings: Settings, http: aiohttp.ClientSession) -> Starlette:
    """The service."""
    feed = Feed(settings, http)
    callers = Callers(http, settings.did, settings.plc, settings.appview)

    async def did_document(_: Request) -> Response:
        service = {"id": "#plyr_fg", "type": "PlyrFeedGenerator", "serviceEndpoint": settings.url}
        return JSONResponse({"@context": ["https://www.w3.org/ns/did/v1"], "id": settings.did, "service": [service]})

    async def describe(_: Request) -> Response:
        return JSONResponse({"did": settings.did, "feeds": [{"uri": settings.feed}]})

    async def skeleton(request: Request) -> Response:
        parameters = request.query_params
        if parameters.get("feed") != settings.feed:
            return refusal(400, "UnknownFeed", "That feed is not one of ours.")
        limit = parameters.get("limit", "50")
        if not (limit.isdecimal() and 1 <= int(limit) <= 100):
            return refusal(400, "InvalidRequest", "limit is a number from 1 to 100.")
        try:
            caller = await callers.find(request.headers.get("authorization"), SKELETON)
        except NotACaller as error:
            return refusal(401, error.name, str(error))
        songs, cursor = await feed.page(caller, int(limit), parameters.get("cursor"))
        answer: dict[str, Any] = {"feed": [{"track": uri} for uri in songs]}
        return JSONResponse(answer if cursor is None else {**answer, "cursor": cursor})

    return Starlette(
        routes=[
            Route("/.well-known/did.json", did_document),
            Route("/xrpc/fm.plyr.feed.describeFeedGenerator", describe),
            Route(f"/xrpc/{SKELETON}", skeleton),
        ]
    )


def refusal(status: int, error: str, message: str) -> Response:
    """An error as XRPC has it."""
    return JSONResponse({"error": error, "message": message}, status)
