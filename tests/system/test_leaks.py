"""The look-out for secrets sees them, and sees none where there is none."""

import base64
import json

import pytest

from tests.system.leaks import Secrets

TOKEN = "plyr_Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6"
JWT = "eyJhbGciOiJFUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJkaWQ6cGxjOmEifQ.c2lnbmF0dXJlLW9mLXRoaXMtdG9rZW4tMTIz"


@pytest.fixture
def secrets() -> Secrets:
    secrets = Secrets()
    secrets.add("a token", TOKEN)
    secrets.add("a short one", "too short")
    secrets.add_of_url(
        "http://127.0.0.1:1/oauth/callback?code=cod-0123456789abcdef0123&iss=http%3A%2F%2Flocalhost%3A2583"
    )
    key = {"kty": "EC", "d": "ZDE0MTU5MjY1MzU4OTc5MzIzODQ2MjY0"}
    secrets.add_of(
        "of a grant:", {"access_token": JWT, "did": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "dpop_key": json.dumps(key)}
    )
    return secrets


def test_what_is_kept(secrets: Secrets) -> None:
    assert secrets.kinds == {"a token", "code", "of a grant: access_token", "of a grant: d"}
    assert len(secrets) == 4


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"GET /?token={TOKEN} 200", "a token"),
        (f"{TOKEN[:24]}…", "a token"),
        (f"…{TOKEN[-24:]}", "a token"),
        (f"\\x{TOKEN.encode().hex()}", "a token"),
        (base64.b64encode(TOKEN.encode()).decode(), "a token"),
        ("callback with cod-0123456789abcdef0123", "code"),
        (f"DPoP {JWT}", "of a grant: access_token"),
        ('{"d": "ZDE0MTU5MjY1MzU4OTc5MzIzODQ2MjY0"}', "of a grant: d"),
    ],
)
def test_what_is_found(secrets: Secrets, text: str, what: str) -> None:
    assert secrets.found_in({"the log": f"some words\n{text}\nmore", "/metrics": "none"}) == [f"{what} is in the log"]


def test_what_is_none(secrets: Secrets) -> None:
    other = "eyJhbGciOiJFUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJkaWQ6cGxjOmIifQ.YW5vdGhlciBzaWduYXR1cmUgb2YgYW5vdGhlcg"
    assert secrets.found_in({"the log": f"{other} plyr_Zm9v too short did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"}) == []
