"""Who we are as a client, and that nothing private is in what we publish."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from appview.accounts.oauth.errors import GrantEnded
from appview.accounts.oauth.metadata import Client
from appview.config import Config

SECRET, OLD = "a secret of forty characters, for testing", "another secret, from before, for testing"
SCOPE = "atproto repo:fm.plyr.like blob:audio/*"


def client(public_url: str | None = None, *secrets: str) -> Client:
    given = {"PLYR_PUBLIC_URL": public_url} if public_url else {"PLYR_BIND": "0.0.0.0:8123"}
    return Client(Config.load(given, dotenv=None), secrets, SCOPE)


def test_a_client_on_loopback() -> None:
    ours = client(None, SECRET)
    parts = urlsplit(ours.id)
    assert (parts.scheme, parts.netloc, parts.path) == ("http", "localhost", "")
    assert parse_qs(parts.query) == {"redirect_uri": ["http://127.0.0.1:8123/oauth/callback"], "scope": [SCOPE]}
    assert ours.metadata() is None
    assert ours.jwks() == {"keys": []}
    assert ours.key_ids == (None,)
    assert ours.credentials(ours.id, None, "https://auth.test", 0) == {"client_id": ours.id}
    assert client("http://localhost", SECRET).redirect_uri == "http://127.0.0.1/oauth/callback"


def test_a_confidential_client() -> None:
    ours = client("https://plyr.example.com", SECRET)
    metadata = ours.metadata()
    assert metadata is not None
    assert metadata["client_id"] == ours.id == "https://plyr.example.com/oauth/client-metadata.json"
    assert metadata["redirect_uris"] == [ours.redirect_uri] == ["https://plyr.example.com/oauth/callback"]
    assert metadata["jwks_uri"] == "https://plyr.example.com/oauth/jwks.json"
    assert "jwks" not in metadata  # either, not both (OA-02)
    assert metadata["token_endpoint_auth_method"] == "private_key_jwt"
    assert metadata["token_endpoint_auth_signing_alg"] == "ES256"
    assert metadata["dpop_bound_access_tokens"] is True
    assert metadata["scope"] == SCOPE
    with pytest.raises(ValueError, match="PLYR_SECRET_KEY"):
        client("https://plyr.example.com")


def test_keys_that_follow_from_secrets() -> None:
    ours, again, rotated = (
        client("https://a.com", *secrets) for secrets in ([SECRET], [SECRET, SECRET], [OLD, SECRET])
    )
    assert ours.jwks() == again.jwks()
    (key,) = ours.jwks()["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "kid", "alg", "use"}
    assert (key["kty"], key["crv"], key["alg"], key["use"]) == ("EC", "P-256", "ES256", "sig")
    assert len(key["kid"]) == 43
    assert [one["kid"] for one in rotated.jwks()["keys"]] == list(rotated.key_ids)
    assert rotated.jwks()["keys"][1] == key
    for text in (json.dumps(ours.jwks()), json.dumps(ours.metadata()), repr(ours)):
        assert '"d"' not in text
        assert SECRET not in text


def test_an_assertion() -> None:
    ours = client("https://a.com", OLD, SECRET)
    kid = ours.key_ids[1]
    made = [ours.credentials(ours.id, kid, "https://auth.test", 1_000.9) for _ in range(2)]
    assert made[0]["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    read = [
        jwt.decode(one["client_assertion"], KeySet([ECKey.import_key(key) for key in ours.jwks()["keys"]]), ["ES256"])
        for one in made
    ]
    assert read[0].header == {"typ": "JWT", "alg": "ES256", "kid": kid}
    jtis = {token.claims.pop("jti") for token in read}
    assert len(jtis) == 2
    expected = {"iss": ours.id, "sub": ours.id, "aud": "https://auth.test", "iat": 995, "exp": 1055}
    assert read[0].claims == read[1].claims == expected
    with pytest.raises(GrantEnded):
        client("https://a.com", OLD).credentials(ours.id, kid, "https://auth.test", 0)
