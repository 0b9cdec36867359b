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
        ],
    }


async def test_a_did_of_another_method_has_its_document_elsewhere() -> None:
    async with strict_client(NOWHERE, PLYR_SERVICE_DID="did:plc:abcdefghijklmnopqrstuvwx") as client:
        assert (await client.get("/.well-known/did.json")).status_code == 404


async def test_robots() -> None:
    async with strict_client(NOWHERE) as client:
        answer = await client.get("/robots.txt")
    assert answer.headers["content-type"].startswith("text/plain")
    assert "Disallow: /xrpc/" in answer.text
