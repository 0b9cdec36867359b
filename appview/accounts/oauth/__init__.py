"""The OAuth client of the protocol (section 10): no database, no pages.

    begun = await oauth.begin("alice.example.com")          # keep begun.secret, send the browser to begun.url
    granted = await oauth.complete(secret, callback_query)   # proven: the account's own server says it is theirs
    answer = await oauth.request(granted, "GET", f"{granted.pds}/xrpc/com.atproto.server.getSession")

Which of it libraries have, and why each is or is not used:

    joserfc                 used: JWKs, thumbprints, ES256 JWTs; typed, well kept, on the `cryptography` that we have
    aiohttp, in appview.net used for every request: the SSRF guard stands on its resolver hook, and OAuth here is above
                            all to ask hosts that strangers name
    atproto (the SDK)       no: 0.0.73 has no OAuth; a proposal for it has been open since 2025
    atproto-oauth-py        no: never looks at `sub` (OA-10), blocks; one release
    authlib                 no: has neither DPoP nor PAR; its JOSE part lives on as joserfc
    httpx-oauth, oauthlib   no: neither DPoP nor PAR
    requests-oauth2client   no: has DPoP and PAR, but blocks, and knows nothing of the protocol's discovery
"""

from appview.accounts.oauth.client import OAuth
from appview.accounts.oauth.granted import Begun, Granted

__all__ = ["Begun", "Granted", "OAuth"]
