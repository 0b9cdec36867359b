"""A small PDS at pds.test with an authorization server at auth.test: upright, until a test has it say something else.

It checks every proof and assertion that it gets as the RFCs have it, and keeps what it was sent.
"""

import base64
import hashlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web
from joserfc import jws, jwt
from joserfc.jwk import ECKey

from appview.accounts.oauth import Begun, OAuth
from appview.config import Config
from appview.net.http import HttpClient, Limits
from appview.net.identity import IdentityResolver
from appview.net.lookup import Dns
from appview.net.policy import HostMap, Policy
from tests.appview.net.servers import NameServer, Site, name_server, site
from tests.appview.net.world import ALICE, BOB, document

__all__ = ["ALICE", "BOB", "AuthServer", "auth_world"]

PDS: Final = "https://pds.test"
ISSUER: Final = "https://auth.test"
SCOPE: Final = "atproto blob:audio/* repo:fm.plyr.like"
SECRET: Final = "a secret of forty characters, for testing"
RESOURCE: Final = "/.well-known/oauth-protected-resource"
METADATA: Final = "/.well-known/oauth-authorization-server"
Said = Callable[[web.Request], Awaitable[web.StreamResponse]]


def server_metadata() -> dict[str, Any]:
    return {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/authorize",
        "pushed_authorization_request_endpoint": f"{ISSUER}/par",
        "token_endpoint": f"{ISSUER}/token",
        "revocation_endpoint": f"{ISSUER}/revoke",
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
        "dpop_signing_alg_values_supported": ["ES256"],
        "scopes_supported": ["atproto", "transition:generic"],
        "authorization_response_iss_parameter_supported": True,
        "require_pushed_authorization_requests": True,
        "client_id_metadata_document_supported": True,
    }


class AuthServer:
    """What the servers say, and what they were sent."""

    def __init__(self, identities: Site, names: NameServer) -> None:
        self.identities = identities
        self.names = names
        self.resource: dict[str, Any] = {"resource": PDS, "authorization_servers": [ISSUER]}
        self.metadata = server_metadata()
        self.tokens: dict[str, Any] = {
            "access_token": "access-1",
            "refresh_token": "refresh-1",
            "token_type": "DPoP",
            "scope": SCOPE,
            "sub": ALICE,
            "expires_in": 3600,
        }
        self.said: dict[str, Said] = {}
        """By path, in place of the upright answer."""
        self.nonces = (f"nonce-{n}" for n in itertools.count(1))
        self.nonce = next(self.nonces)
        self.asked: list[tuple[str, str]] = []
        self.forms: dict[str, list[dict[str, str]]] = {}
        self.revoked: list[str] = []
        self.proofs: list[dict[str, Any]] = []
        self.jwks: dict[str, Any] | None = None
        self.port = 0
        self._used: set[str] = set()

    def publish(self, did: str, handle: str, pds: str = PDS) -> None:
        self.identities.pages["plc.test", f"/{did}"] = document(did, handle=handle, pds=pds)
        self.identities.pages[handle, "/.well-known/atproto-did"] = did.encode()

    def rotate(self) -> None:
        """Take no nonce from now on that was given before."""
        self.nonce = next(self.nonces)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.host, request.path))
        if request.path in self.said:
            return await self.said[request.path](request)
        match request.host, request.path:
            case "pds.test", "/.well-known/oauth-protected-resource":
                return web.json_response(self.resource)
            case "auth.test", "/.well-known/oauth-authorization-server":
                return web.json_response(self.metadata)
            case "auth.test", "/par" | "/token" | "/revoke" as path:
                return await self._form(request, path)
            case "pds.test", _ if request.path.startswith("/xrpc/"):
                return await self._xrpc(request)
        return web.Response(status=404)

    def give(self, body: object, status: int = 200, **headers: str) -> web.Response:
        """JSON with the nonce of now."""
        return web.json_response(body, status=status, headers={"DPoP-Nonce": self.nonce, **headers})

    def refuse(self, error: str, status: int = 400) -> Said:
        async def say(request: web.Request) -> web.Response:
            return self.give({"error": error, "error_description": f"the server says {error}"}, status)

        return say

    async def _form(self, request: web.Request, path: str) -> web.Response:
        form = dict(parse_qsl(await request.text()))
        claims = self._proof(request)
        assert "ath" not in claims
        if not self._knows(form):
            return self.give({"error": "invalid_client"}, 400)
        if claims.get("nonce") != self.nonce:
            return self.give({"error": "use_dpop_nonce"}, 400)
        self.forms.setdefault(path, []).append(form)
        if path == "/par":
            return self.give({"request_uri": "urn:request:1", "expires_in": 300}, 201)
        if path == "/token":
            return self.give(self.tokens)
        self.revoked.append(form["token"])
        return self.give({})

    async def _xrpc(self, request: web.Request) -> web.Response:
        body = await request.read()
        claims = self._proof(request)
        scheme, _, token = request.headers["Authorization"].partition(" ")
        assert scheme == "DPoP"
        assert claims["ath"] == base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
        if claims.get("nonce") != self.nonce:
            challenge = 'DPoP error="use_dpop_nonce", error_description="take this one"'
            return self.give({"error": "use_dpop_nonce"}, 401, **{"WWW-Authenticate": challenge})
        return self.give({"size": len(body), "query": request.rel_url.raw_query_string})

    def _proof(self, request: web.Request) -> dict[str, Any]:
        proof = request.headers["DPoP"]
        header = jws.extract_compact(proof.encode()).headers()
        assert header["typ"] == "dpop+jwt"
        assert header["alg"] == "ES256"
        assert "d" not in header["jwk"]
        claims = jwt.decode(proof, ECKey.import_key(header["jwk"]), algorithms=["ES256"]).claims
        assert claims["htm"] == request.method
        assert claims["htu"] == f"https://{request.host}{request.path}"
        self._use(claims["jti"])
        self.proofs.append(claims)
        return claims

    def _knows(self, form: dict[str, str]) -> bool:
        """Whether the form is by a key that we know of its client; that the rest of it is right is checked."""
        if self.jwks is None:
            assert "client_assertion" not in form
            return True
        assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        known = {key["kid"]: ECKey.import_key(key) for key in self.jwks["keys"]}
        kid = jws.extract_compact(form["client_assertion"].encode()).headers()["kid"]
        if kid not in known:
            return False
        claims = jwt.decode(form["client_assertion"], known[kid], algorithms=["ES256"]).claims
        assert claims["iss"] == claims["sub"] == form["client_id"]
        assert claims["aud"] == ISSUER
        assert 0 < claims["exp"] - claims["iat"] <= 60
        self._use(claims["jti"])
        return True

    def _use(self, jti: str) -> None:
        assert jti not in self._used
        self._used.add(jti)


class World:
    """The servers, our client, and a clock that a test sets."""

    def __init__(self, server: AuthServer, http: HttpClient, identities: IdentityResolver) -> None:
        self.server = server
        self.now = 1_800_000_000.0
        self._http = http
        self.identities = identities
        self.oauth = self.client("http://localhost:8080")

    def client(self, public_url: str, secrets: Sequence[str] = (SECRET,)) -> OAuth:
        given = {"PLYR_PUBLIC_URL": public_url, "PLYR_DEV": "1", "PLYR_RESOLVE": "*.test=127.0.0.1:9"}
        config = Config.load(given, dotenv=None)
        return OAuth(config, self._http, self.identities, secrets=secrets, clock=lambda: self.now)

    def callback(self, begun: Begun, **other: str) -> dict[str, str]:
        """What an upright server has the browser bring."""
        return {"code": "code-1", "state": begun.state, "iss": ISSUER, **other}


@asynccontextmanager
async def auth_world() -> AsyncIterator[World]:
    async with name_server({}) as names, site() as hosts:
        server = AuthServer(hosts, names)
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", server.answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.port = urlsplit(f"http://127.0.0.1:{runner.addresses[0][1]}").port or 0
        ours = ",".join(f"{host}=127.0.0.1:{server.port}" for host in ("pds.test", "auth.test", "evil.test"))
        policy = Policy.development(HostMap.parse(f"*.test=127.0.0.1:{hosts.port},{ours}"))
        dns = Dns(names.address, lifetime=1.0)
        async with HttpClient(policy, lookup=dns.addresses, limits=Limits(connect=1, read=1, head=2)) as http:
            identities = IdentityResolver(http, dns, plc_url="https://plc.test")
            server.publish(ALICE, "alice.test")
            world = World(server, http, identities)
            try:
                yield world
            finally:
                await world.oauth.aclose()
                await identities.aclose()
                await runner.cleanup()


Change = Callable[[World], object]


def says(path: str, body: bytes, status: int = 200, mime: str = "application/json", **headers: str) -> Change:
    async def say(request: web.Request) -> web.Response:
        return web.Response(body=body, status=status, content_type=mime, headers=headers)

    return lambda world: world.server.said.update({path: say})
