from appview.net.did_document import parse_document
from appview.signer import Signer
from tests.xrpc.client import strict_client

NOWHERE = "postgresql://127.0.0.1:1/nowhere"


async def test_our_did_document() -> None:
    async with strict_client(NOWHERE, PLYR_DEV="0", PLYR_PUBLIC_URL="https://music.example.com") as client:
        answer = await client.get("/.well-known/did.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "@context": ["https://www.w3.org/ns/did/v1"],
        "id": "did:web:music.example.com",
        "service": [
            {"id": "#plyr_appview", "type": "PlyrAppView", "serviceEndpoint": "https://music.example.com"},
            {"id": "#plyr_fg", "type": "PlyrFeedGenerator", "serviceEndpoint": "https://music.example.com"},
        ],
    }


async def test_our_key_stands_in_it_where_there_is_a_secret_to_make_it_of() -> None:
    did = "did:web:localhost%3A8080"
    documents = []
    for _ in range(2):
        async with strict_client(NOWHERE, PLYR_SECRET_KEY="x" * 32) as client:
            documents.append((await client.get("/.well-known/did.json")).json())
    document, after_a_restart = documents
    assert document == after_a_restart
    assert document["@context"] == ["https://www.w3.org/ns/did/v1", "https://w3id.org/security/multikey/v1"]
    (key,) = document["verificationMethod"]
    assert (key["id"], key["type"], key["controller"]) == (f"{did}#atproto", "Multikey", did)
    assert parse_document(did, document, dev=True).signing_key == Signer(did, "x" * 32).public_key


async def test_a_did_of_another_method_has_its_document_elsewhere() -> None:
    async with strict_client(NOWHERE, PLYR_SERVICE_DID="did:plc:abcdefghijklmnopqrstuvwx") as client:
        assert (await client.get("/.well-known/did.json")).status_code == 404


async def test_robots() -> None:
    async with strict_client(NOWHERE) as client:
        answer = await client.get("/robots.txt")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "Disallow: /xrpc/" in answer.text
