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
    """The addresses that `policy`, widened to http and to any port, would let us ask ourselves."""

    def __init__(self, policy: Policy) -> None:
        self._policy = replace(policy, schemes=frozenset({"http", "https"}), ports=None)
        self._pds_schemes = ("https://", "http://") if policy.dev else ("https://",)
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

    def _judge(self, url: str) -> bool:
        try:
            self._policy.vet(parse_url(url))
        except Refused:
            return False
        return True
