"""Addresses of audio and images, as they may be handed to a client. Pure.

What a record or a DID document gives as an address is a stranger's word. It is passed on only where it names a plain
public host over http or https: no scripts, no data, no machine of somebody's own network (T8). Whether anything
answers there is not asked.
"""

import re
from dataclasses import replace
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from appview.net.errors import Refused
from appview.net.policy import Policy, parse_url
from lexicons.formats import is_uri

_REMEMBERED: Final = 8_192
"""Origins, of which no key is longer than what `_origin_of` matches: a few MB at most."""
# Up to where the path begins. A scheme, the longest host there is, and a port: what is longer names no host.
_origin_of = re.compile(r"https?://[^/?#]{1,259}(?![^/?#])").match


class Media:
    """The addresses that `policy`, widened to http and to any port, would let us ask ourselves.

    `avatars` is where avatars are served, with `{did}` and `{cid}` in it; None: at the account's PDS.
    """

    def __init__(self, policy: Policy, avatars: str | None = None) -> None:
        self._policy = replace(policy, schemes=frozenset({"http", "https"}), ports=None)
        self._pds_schemes = ("https://", "http://") if policy.dev else ("https://",)
        self._avatars = avatars
        # A page names few hosts, each again and again; the rest of an address is a stranger's, and is not judged.
        self._is_public = lru_cache(_REMEMBERED)(self._judge)

    def link(self, url: object) -> str | None:
        """`url` itself, when it may be handed out."""
        if not isinstance(url, str) or not is_uri(url):
            return None
        origin = _origin_of(url)
        return url if origin is not None and self._is_public(origin[0]) else None

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

    def _judge(self, origin: str) -> bool:
        try:
            self._policy.vet(parse_url(origin))
        except Refused:
            return False
        return True
