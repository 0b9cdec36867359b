"""Accounts: who they are, where their repositories are, and what they say of themselves."""

import hashlib
from functools import lru_cache
from typing import Any, Final

import orjson

from appview.keys import PublicKey
from appview.net.did_document import PDS, DidDocument, Service, render_document
from lexicons.cid import CID
from lexicons.formats import tid_from_time_us
from tests.bench.million.shape import SPAN_MS, Shape
from tests.bench.million.tables import ACTORS, DOCUMENTS, REPOS, Batch
from tests.bench.million.times import instant, written
from tests.bench.million.words import name, remark
from tests.writer.keys import SigningKey

KEY: Final = SigningKey.from_seed("a million tracks")
"""With which every account signs."""
_HOSTS: Final = ("amanita", "boletus", "chanterelle", "enoki", "lactarius", "morel", "oyster", "puffball", "shiitake")
_PUBLIC_KEY: Final = PublicKey.from_multikey(KEY.multikey)


@lru_cache(100_000)
def name_of(shape: Shape, account: int) -> str:
    """What an account goes by."""
    return "The Fan" if account == shape.fan else name(shape.rng("name", account))


def handle_of(shape: Shape, account: int) -> str | None:
    """Its handle, where it has one that verifies."""
    if account % 70 == 69:
        return None
    plain = "".join(letter for letter in name_of(shape, account).lower() if "a" <= letter <= "z")
    return f"{plain or 'listener'}{account}.bsky.social"


def account_rows(shape: Shape, batch: Batch, account: int) -> None:
    """All rows that there is one of for an account; some accounts are not active, and some are taken down here."""
    did, handle = shape.dids[account], handle_of(shape, account)
    rng = shape.rng("account", account)
    joined = shape.end_ms - SPAN_MS - rng.randrange(1, 400 * 86_400_000)
    pds = f"https://{rng.choice(_HOSTS)}.us-{rng.choice(('east', 'west'))}.host.bsky.network"
    gone, end, since = account % 200 == 7, instant(shape.end_ms), instant(joined)
    batch.add(
        ACTORS, did, handle, pds, not gone, "deactivated" if gone else None, account % 1_000 == 13, end, None, since
    )
    data = CID.of(did.encode())
    rev = tid_from_time_us(shape.end_ms * 1_000, 0)
    batch.add(REPOS, did, "synchronized", rev, data, data, None, "first seen", since, "live", end, since, None)
    batch.add(DOCUMENTS, did, orjson.dumps(document(did, handle, pds)), end)
    if rng.random() < 0.9:
        bsky: dict[str, Any] = {"$type": "app.bsky.actor.profile", "displayName": name_of(shape, account)}
        if rng.random() < 0.8:
            ref = CID(b"\x01\x55\x12\x20" + hashlib.sha256(did.encode()).digest())
            bsky["avatar"] = {"$type": "blob", "ref": ref, "mimeType": "image/jpeg", "size": rng.randrange(900_000)}
        if rng.random() < 0.7:
            bsky["description"] = remark(rng, 25)
        batch.record(did, "app.bsky.actor.profile", bsky | {"createdAt": written(joined).decode()}, joined)
    if rng.random() < 0.5:
        ours: dict[str, Any] = {"$type": "fm.plyr.actor.profile", "createdAt": written(joined).decode()}
        if rng.random() < 0.6:
            ours["bio"] = remark(rng, 20)
        if rng.random() < 0.4:
            ours["avatar"] = f"https://images.plyr.fm/images/{rng.getrandbits(64):016x}.webp"
        batch.record(did, "fm.plyr.actor.profile", ours, joined)


def document(did: str, handle: str | None, pds: str) -> dict[str, object]:
    """Its DID document, with the key of all."""
    return render_document(DidDocument(did, handle, _PUBLIC_KEY, services=(Service(*PDS, pds),)))
