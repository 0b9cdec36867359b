"""Feeds that others answer for: found in the index, asked for a skeleton, and what comes taken with care (VW-30 … 34).

No connection to the database is held while a service is asked. What it says is bounded in every respect, and nothing of
it is shown but tracks that the index has, and reasons in its own terms.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import orjson
from prometheus_client import CollectorRegistry, Gauge, Histogram

from appview.accounts.service_jwt import BadToken, read_token
from appview.db import Connection
from appview.index.records.fields import is_record_of
from appview.net.generators import SERVICE, Declined, DidNotAnswer, Generators, InvalidAnswer, NotAsked
from appview.reads import generators, names
from appview.reads.generators import Declared
from appview.reads.skeletons import Entry
from appview.reads.views import View
from lexicons.data import DataError, from_json
from lexicons.formats import is_at_uri, is_nsid
from xrpc import cursors
from xrpc.built_in import Skeleton
from xrpc.context import Context
from xrpc.errors import AUTHENTICATION, NAMES, InvalidRequest, Unauthenticated, XrpcError
from xrpc.network import Network

METHOD: Final = "feed.getFeedSkeleton"
MAX_CURSOR: Final = 1_024
"""Bytes of a generator's cursor, in UTF-8: with it, a URL is still one that everybody takes."""
MAX_REASON: Final = 2_048
"""Bytes of a reason as JSON."""
MAX_NOTE: Final = 500
"""Bytes of a note, as its lexicon has it."""
MAX_PAUSE: Final = 3_600.0
"""Seconds for which a service may have its callers wait; nothing is said of a longer pause."""
_MAX_MESSAGE: Final = 300
_is_type = re.compile(r"[A-Za-z0-9.-]{1,317}(?:#[A-Za-z0-9]{1,128})?").fullmatch
_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0)
# What is the caller's to put right, and so is passed on; a 401 and a 429 are so by whatever name.
_PASSED_ON: Final[Mapping[str, int]] = {
    "UnknownFeed": 400,
    NAMES[400]: 400,
    NAMES[403]: 403,
}


def generators_of(network: Network, registry: CollectorRegistry) -> Generators:
    """The generators that `network` reaches; how they do is counted in `registry`."""
    seconds = Histogram(
        "plyr_generator_seconds",
        "What asking a feed generator came to, and how long it took.",
        ["outcome"],
        buckets=_SECONDS,
        registry=registry,
    )
    found = Generators(
        network.http, network.identities, observe=lambda outcome, took: seconds.labels(outcome).observe(took)
    )
    calls = Gauge("plyr_generator_calls", "Feed generators being asked at this moment.", registry=registry)
    calls.set_function(lambda: found.circuits.calls)
    broken = Gauge(
        "plyr_generators_broken", "Feed generators that are left alone, since they failed.", registry=registry
    )
    broken.set_function(lambda: len(found.circuits.broken))
    return found


async def declared(connection: Connection, uri: str) -> Declared:
    """The feed that the record at `uri` declares. Raises XrpcError `UnknownFeed`."""
    known = await names.with_dids(connection, [uri]) if is_at_uri(uri) else []
    for feed in await generators.declared(connection, known):
        return feed
    raise XrpcError(400, "UnknownFeed", "No such feed is answered here.")


async def skeleton(ctx: Context, feed: Declared, limit: int, cursor: str | None) -> Skeleton:
    """A page of `feed`: at most `limit` tracks, which may be anybody's word, and the cursor where it goes on.

    To be asked for while nothing of the database is held. Raises XrpcError: FeedUnavailable and InvalidFeedResponse,
    which are the service's doing, and what the service itself says of the request.
    """
    decoded = cursors.decode("generator", cursor, str)
    theirs = decoded[0] if decoded is not None else None
    if theirs is not None and len(theirs.encode()) > MAX_CURSOR:
        # Ours never hold so much: the service is not to be blamed for what it cannot read.
        raise InvalidRequest("Malformed cursor")
    parameters: dict[str, str | int] = {"feed": feed.uri, "limit": limit}
    if theirs is not None:
        parameters["cursor"] = theirs
    nsid = f"{ctx.config.namespace}.{METHOD}"
    headers = _authorization(ctx, feed.service, nsid)

    def read(said: object) -> Skeleton:
        return _read(said, ctx.config.namespace, limit)

    try:
        answer = await ctx.generators.ask(feed.service, nsid, parameters, read, headers=headers)
    except NotAsked as error:
        told = {"Retry-After": f"{error.retry_after:.0f}"}
        raise _unavailable(f"The feed's service is not asked at present: {error}.", told) from error
    except DidNotAnswer as error:
        raise _unavailable(f"The feed's service does not answer: {error}.") from error
    except InvalidAnswer as error:
        raise _invalid(str(error)) from error
    except Declined as error:
        raise _passed_on(error) from error
    if answer.cursor is None or answer.cursor == theirs or not answer.entries:
        return Skeleton(answer.entries, None)
    return Skeleton(answer.entries, cursors.encode("generator", answer.cursor))


async def fitting(connection: Connection, page: Skeleton) -> Skeleton:
    """`page` without the tracks that are not here, and, where it is too large for an answer, without its end.

    Whoever made it knows nothing of what records weigh, so that what is cut off is not on the next page either.
    """
    uris = set(await generators.fitting(connection, [entry.uri for entry in page.entries]))
    return page._replace(entries=[entry for entry in page.entries if entry.uri in uris])


def _authorization(ctx: Context, service: str, nsid: str) -> dict[str, str]:
    """Who asks, as the service is told: the caller's own token for it; else ours, for the caller; else nobody.

    Raises Unauthenticated for a token that is for a third.
    """
    token = ctx.onward
    if token is not None:
        try:
            read_token(token, audiences=(service, service + SERVICE[0]), method=nsid, now=ctx.now.timestamp())
        except BadToken as error:
            raise Unauthenticated(error.name, str(error)) from None
    elif ctx.viewer is not None and ctx.signer is not None:
        token = ctx.signer.token(service, nsid, ctx.now, subject=ctx.viewer)
    return {} if token is None else {"Authorization": f"Bearer {token}"}


def _read(said: object, namespace: str, limit: int) -> Skeleton:
    """The page in what a service answered: its first `limit` items, of which bad and repeated ones are left out.

    Raises InvalidAnswer.
    """
    if not isinstance(said, dict) or not isinstance(said.get("feed"), list):
        raise InvalidAnswer("it has no feed")
    cursor = said.get("cursor")
    if cursor is not None and (not isinstance(cursor, str) or len(cursor.encode()) > MAX_CURSOR or "\0" in cursor):
        raise InvalidAnswer(f"its cursor is not a text of at most {MAX_CURSOR} bytes")
    entries: dict[str, Entry] = {}
    for item in said["feed"][:limit]:
        uri = item.get("track") if isinstance(item, dict) else None
        if isinstance(uri, str) and is_record_of(uri, f"{namespace}.track"):
            entries.setdefault(uri, Entry(uri, _reason(item.get("reason"), namespace)))
    return Skeleton(list(entries.values()), cursor or None)


def _reason(given: Any, namespace: str) -> View | None:
    """The reason, if it is a note, or in terms of the service's own: what else is said in ours is ours to say."""
    kind = given.get("$type") if isinstance(given, dict) else None
    if not isinstance(kind, str) or _is_type(kind) is None or not is_nsid(kind.partition("#")[0]):
        return None
    if kind.startswith(f"{namespace}."):
        text = given.get("text")
        is_note = kind == f"{namespace}.feed.defs#reasonNote" and isinstance(text, str)
        return {"$type": kind, "text": text} if is_note and len(text.encode()) <= MAX_NOTE else None
    try:
        from_json(given)
    except DataError:
        return None
    return given if len(orjson.dumps(given)) <= MAX_REASON else None


def _passed_on(declined: Declined) -> XrpcError:
    message = (
        f"The feed's service says: {_plain(declined.message)}" if declined.message else "The feed's service refuses."
    )
    if declined.status == 401:
        return Unauthenticated(declined.name if declined.name in AUTHENTICATION else "AuthMissing", message)
    if declined.status == 429 or declined.name == NAMES[429]:
        pause = declined.retry_after
        told = {"Retry-After": f"{math.ceil(pause)}"} if pause is not None and pause <= MAX_PAUSE else None
        return XrpcError(429, NAMES[429], message, headers=told)
    if declined.name in _PASSED_ON:
        return XrpcError(_PASSED_ON[declined.name], declined.name, message)
    return _invalid(f"the error {_plain(declined.name)}")


def _plain(text: str) -> str:
    """A stranger's text, as it may stand in a message of ours."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:_MAX_MESSAGE])


def _invalid(why: str) -> XrpcError:
    return XrpcError(502, "InvalidFeedResponse", f"The feed's service answers with what is no feed: {why}.")


def _unavailable(message: str, headers: Mapping[str, str] | None = None) -> XrpcError:
    return XrpcError(502, "FeedUnavailable", message, headers=headers)
