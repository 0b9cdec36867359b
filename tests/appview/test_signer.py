"""Our own key: the same wherever the secret is the same, and good for others' verifiers."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

from atproto_crypto.verify import verify_signature

from appview.signer import Signer

DID = "did:web:music.test"
SECRET = "correct horse battery staple, said twice"
NOW = datetime(2026, 6, 1, tzinfo=UTC)
METHOD = "fm.plyr.feed.getFeedSkeleton"


def part(token: str, place: int) -> Any:
    text = token.split(".")[place]
    assert "=" not in text
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def test_the_key_follows_from_the_secret_alone() -> None:
    key = Signer(DID, SECRET).public_key
    assert key.multikey() == "zDnaedU8rL7Vz6dTufa6BYXdMCpTAvv3mtVBUi9is3EFaqKcV"
    assert Signer("did:web:other.test", SECRET).public_key == key
    assert Signer(DID, f"{SECRET}.").public_key != key


def test_a_token_says_what_it_is_for() -> None:
    token = Signer(DID, SECRET).token("did:web:feeds.test", METHOD, NOW)
    assert part(token, 0) == {"typ": "JWT", "alg": "ES256"}
    claims = part(token, 1)
    assert len(claims.pop("jti")) == 32
    at = int(NOW.timestamp())
    assert claims == {"iss": DID, "aud": "did:web:feeds.test", "lxm": METHOD, "iat": at, "exp": at + 60}
    other = Signer(DID, SECRET).token("did:web:feeds.test", METHOD, NOW, subject="did:plc:alice")
    assert part(other, 1)["sub"] == "did:plc:alice"
    assert part(other, 1)["jti"] != part(token, 1)["jti"]


def test_others_verify_it() -> None:
    signer = Signer(DID, SECRET)
    signed, _, signature = signer.token("did:web:feeds.test", METHOD, NOW).rpartition(".")
    raw = base64.urlsafe_b64decode(signature + "==")
    assert verify_signature(f"did:key:{signer.public_key.multikey()}", signed.encode(), raw)
    assert not verify_signature(f"did:key:{signer.public_key.multikey()}", signed.encode() + b"x", raw)


def test_signatures_have_a_low_s() -> None:
    signer = Signer(DID, SECRET)
    assert {signer.public_key.check(b"song", signer.sign(b"song")) for _ in range(20)} == {"ok"}
