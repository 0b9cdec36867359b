"""What a PDS may answer to a write, and what callers are told then."""

import json
import logging
from typing import Any

import pytest
from aiohttp import web

from appview.writes.errors import PdsRefused, RateLimited, ScopeMissing, SignInAgain, Unsettled, WriteError
from tests.appview.writes.proxy import Fault, Forward, lose_request
from tests.appview.writes.stand import Stand
from tests.network import records
from tests.network.xrpc import Json


def answering(status: int, body: Json | bytes, headers: dict[str, str] | None = None) -> Fault:
    async def fault(_request: web.Request, _forward: Forward) -> web.StreamResponse:
        if isinstance(body, bytes):
            return web.Response(status=status, body=body, headers=headers)
        return web.json_response(body, status=status, headers=headers)

    return fault


def said(name: object, message: object = "so it is") -> Json:
    return {"error": name, "message": message}


@pytest.mark.parametrize(
    ("fault", "kind", "name", "message"),
    [
        (
            answering(400, said("InvalidRequest")),
            PdsRefused,
            "InvalidRequest",
            "The PDS answered 400 InvalidRequest: so",
        ),
        (answering(400, said("Odd<Name>", "<b>\x1b[31m\nx" * 99)), PdsRefused, "UpstreamFailure", "400: <b> [31m x<b>"),
        (answering(400, said(["x"], {"y": 1})), PdsRefused, "UpstreamFailure", "The PDS answered 400"),
        (answering(404, b"<html>"), PdsRefused, "UpstreamFailure", "The PDS answered 404"),
        (answering(301, b"", {"Location": "https://elsewhere.example/"}), PdsRefused, "UpstreamFailure", "301"),
        (answering(413, said("PayloadTooLarge")), PdsRefused, "PayloadTooLarge", "413"),
        (answering(403, said("ScopeMissingError")), ScopeMissing, "ScopeMissing", "so it is"),
        (answering(403, said("Forbidden")), PdsRefused, "Forbidden", "403"),
        (answering(401, said("AccountTakedown")), PdsRefused, "AccountTakedown", "401"),
        (answering(429, said("RateLimitExceeded")), RateLimited, "RateLimitExceeded", "429"),
    ],
)
async def test_a_no(here: Stand, fault: Fault, kind: type[WriteError], name: str, message: str) -> None:
    here.wire.faults = [fault]
    with pytest.raises(kind) as refused:
        await here.repo.create(records.TRACK, records.track())
    assert (refused.type, refused.value.name) == (kind, name)
    assert message in str(refused.value)
    assert str(refused.value).isprintable()
    assert len(str(refused.value)) < 400
    assert await here.states() == ["refused"]
    assert here.counted("plyr_pds_writes_total", method="create", outcome=kind.__name__) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "17"}, (17, 17)),
        ({"RateLimit-Reset": "99999999999"}, (86_400, 86_400)),
        ({"RateLimit-Reset": "1"}, (0, 0)),
        ({"RateLimit-Reset": "nan"}, None),
        ({"RateLimit-Reset": "soon"}, None),
        ({}, None),
    ],
)
async def test_a_pause(here: Stand, headers: dict[str, str], seconds: tuple[int, int] | None) -> None:
    here.wire.faults = [answering(429, said("RateLimitExceeded"), headers)]
    with pytest.raises(RateLimited) as refused:
        await here.repo.create(records.TRACK, records.track())
    wait = refused.value.retry_after
    assert wait is None if seconds is None else wait is not None and seconds[0] <= wait <= seconds[1]


async def test_a_no_after_an_answer_that_was_lost_is_not_the_last_word(here: Stand) -> None:
    here.wire.faults = [lose_request, answering(429, said("RateLimitExceeded"))]
    with pytest.raises(RateLimited):
        await here.repo.create(records.TRACK, records.track())
    assert await here.states() == ["intended"]


async def test_tokens_that_are_never_taken(here: Stand) -> None:
    here.wire.faults = [answering(401, said("AuthenticationRequired"))] * 2
    with pytest.raises(SignInAgain):
        await here.repo.create(records.TRACK, records.track())
    assert len(here.wire.asked) == 2
    assert await here.states() == ["refused"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"\xff",
        b"{}",
        b'{"uri": 1, "cid": 2}',
        b'{"commit": 1}',
        b'{"commit": {"rev": 1}}',
        b'{"results": {}}',
        b"x" * 9_000_000,
    ],
)
async def test_an_answer_that_is_none(here: Stand, body: bytes) -> None:
    """Nothing was done, and what was said is no answer: it is asked again, and in the end nobody knows."""
    here.wire.faults = [answering(200, body)] * 3
    with pytest.raises(Unsettled):
        await here.repo.create(records.TRACK, records.track())
    assert len(here.wire.asked) == 3
    assert await here.records(records.TRACK) == []
    assert await here.shown() == {}


@pytest.mark.parametrize("rev", ["", "a", "zzzzzzzzzzzzz", "jzzzzzzzzzzzz", 3])
async def test_a_commit_that_cannot_be(here: Stand, rev: Any) -> None:
    """Its rev is none, or of a time to come: the PDS has the record nevertheless, as a look shows."""

    async def fault(_request: web.Request, forward: Forward) -> web.StreamResponse:
        told = json.loads((await forward()).text or "")
        told["commit"]["rev"] = rev
        return web.json_response(told)

    here.wire.faults = [fault]
    written = await here.repo.create(records.TRACK, records.track())
    assert written.rev == await here.rev()
    assert list(await here.shown()) == [written.uri]


async def test_no_token_is_passed_on(here: Stand, caplog: pytest.LogCaptureFixture) -> None:
    """A PDS that says in its answer what it was sent."""
    granted = await here.grants.fresh(here.grant)

    async def fault(request: web.Request, _forward: Forward) -> web.StreamResponse:
        return web.json_response(said("InvalidRequest", f"You sent {request.headers['Authorization']}."), status=400)

    here.wire.faults = [fault]
    with caplog.at_level(logging.DEBUG), pytest.raises(PdsRefused, match="You sent DPoP …") as refused:
        await here.repo.create(records.TRACK, records.track())
    ((error,),) = [tuple(row) for row in await here.pool.fetch("select error from write_intents")]
    for text in (caplog.text, error, str(refused.value)):
        assert granted.access_token[:40] not in text


async def test_another_accounts_grant(here: Stand) -> None:
    other = await here.network.create_account("writer")
    with pytest.raises(SignInAgain, match="another account's"):
        await here.writes.of(other.did, here.grant).create(records.TRACK, records.track())
    assert here.wire.asked == []
