"""Where the verifying commands get their keys from, with what people's files and machines are like."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from ingester.commands.keys import DidsFile, _directory
from tests.writer.keys import K256, P256, SigningKey
from tests.writer.repo import did_document

DID = "did:plc:abcdefghijklmnopqrstuvwx"
OLD, NEW = SigningKey.from_seed("old", K256), SigningKey.from_seed("new", P256)
ROTATED = datetime(2026, 5, 1, tzinfo=UTC)


def operation(key: SigningKey, when: str) -> dict[str, Any]:
    did_key = f"did:key:{key.multikey}"
    body = {"type": "plc_operation", "verificationMethods": {"atproto": did_key}, "rotationKeys": [], "alsoKnownAs": []}
    return {"did": DID, "operation": {**body, "services": {}}, "nullified": False, "createdAt": when}


DOC = did_document(DID, NEW.multikey, "https://pds.example")
LOG = [operation(OLD, "2026-01-01T00:00:00.000Z"), operation(NEW, "2026-05-01T00:00:00.000Z")]


def dids_file(path: Path, entry: Any) -> DidsFile:
    path.write_text(json.dumps({DID: entry}))
    return DidsFile(path)


async def signed_with(path: Path, entry: Any, when: datetime) -> str | None:
    signer = await dids_file(path, entry).signer(DID, when)
    return None if signer is None or signer.key is None else signer.key.multikey()


@pytest.mark.parametrize(
    ("when", "key"),
    [
        (datetime(2025, 1, 1, tzinfo=UTC), OLD),
        (datetime(2026, 4, 30, 23, 59, 59, tzinfo=UTC), OLD),
        (ROTATED, NEW),
        (datetime(2026, 6, 1, tzinfo=UTC), NEW),
    ],
)
async def test_the_log_says_who_signed_when(tmp_path: Path, when: datetime, key: SigningKey) -> None:
    assert await signed_with(tmp_path / "dids.json", {"doc": DOC, "log": LOG}, when) == key.multikey
    assert await signed_with(tmp_path / "dids.json", {"log": LOG}, when) == key.multikey


@pytest.mark.parametrize(
    "entry",
    [
        {"doc": DOC},
        {"doc": DOC, "log": None},
        {"doc": DOC, "log": []},
        {"doc": DOC, "log": {"message": "DID not found"}},
        {"doc": DOC, "log": "Internal Server Error"},
        {
            "doc": DOC,
            "log": [*LOG, {"did": DID, "operation": {"type": "of tomorrow"}, "createdAt": "2026-06-01T00:00:00Z"}],
        },
        DOC,
    ],
)
async def test_where_the_log_is_no_use_the_document_is(tmp_path: Path, entry: Any) -> None:
    assert await signed_with(tmp_path / "dids.json", entry, ROTATED) == NEW.multikey


@pytest.mark.parametrize("entry", [None, 7, [], {}, {"doc": None}, {"doc": {"id": "did:plc:other"}}, {"log": [7]}])
async def test_what_is_no_use_at_all_leaves_it_unchecked(tmp_path: Path, entry: Any) -> None:
    assert await signed_with(tmp_path / "dids.json", entry, ROTATED) is None


async def test_a_directory_elsewhere_opens_no_way_to_this_machine() -> None:
    """The DIDs that are looked up come from strangers: only with a directory on loopback is loopback asked for them."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        did = f"did:web:localhost%3A{request.url.port}"
        return web.json_response(did_document(did, NEW.multikey, "https://pds.example"))

    app = web.Application()
    app.router.add_get("/.well-known/did.json", answer)
    async with TestServer(app) as server:
        did = f"did:web:localhost%3A{server.port}"
        async with _directory("http://plc.corp.example.com:2582") as directory:
            assert await directory.signer(did, ROTATED) is None
        assert asked == []
        async with _directory("http://127.0.0.1:2582") as directory:
            signer = await directory.signer(did, ROTATED)
        assert signer is not None
        assert signer.key is not None
        assert asked == ["/.well-known/did.json"]
