"""Addresses of audio and images, as they may be handed to a client. Pure.

What a record or a DID document gives as an address is a stranger's word. It is passed on only where it names a plain
public host over http or https: no scripts, no data, no machine of somebody's own network (T8). Whether anything
answers there is not asked.
"""

from dataclasses import replace
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from appview.net.errors import Refused
from appview.net.policy import Policy, parse_url
from lexicons.formats import is_uri

_REMEMBERED: Final = 16_384


class Media:
    """The addresses that `policy`, widened to http and to any port, would let us ask ourselves.

    `avatars` is where avatars are served, with `{did}` and `{cid}` in it; None: at the account's PDS.
    """

    def __init__(self, policy: Policy, avatars: str | None = None) -> None:
        self._policy = replace(policy, schemes=frozenset({"http", "https"}), ports=None)
        self._pds_schemes = ("https://", "http://") if policy.dev else ("https://",)
        self._avatars = avatars
        # A page of an album asks for one cover again and again.
        self._is_public = lru_cache(_REMEMBERED)(self._judge)

    def link(self, url: object) -> str | None:
        """`url` itself, when it may be handed out."""
        return url if isinstance(url, str) and is_uri(url) and self._is_public(url) else None

    def blob(self, pds: str | None, did: str, cid: str) -> str | None:
        """Where the account's present PDS serves one of its blobs."""
        if pds is None or not pds.startswith(self._pds_schemes) or self.link(pds) is None:
            return None
        return f"{pds}/xrpc/com.atproto.sync.getBlob?did={quote(did, safe=':')}&cid={cid}"

    def avatar(self, pds: str | None, did: str, cid: str) -> str | None:
        """Where a blob that is the account's avatar is served."""
        if self._avatars is None:
            return self.blob(pds, did, cid)
        return self._avatars.replace("{did}", quote(did, safe=":")).replace("{cid}", cid)

    def _judge(self, url: str) -> bool:
        try:
            self._policy.vet(parse_url(url))
        except Refused:
            return False
        return True
