"""Whose address a request comes from, where proxies stand in between.

The address of the connection is the one that nobody can forge. Where it is that of a proxy which is trusted,
`X-Forwarded-For` is read from its right end, and the first address there that is not of a trusted proxy is the
client's: whatever stands further left, the client may have written. RFC 7239's `Forwarded` is not read.
"""

import logging
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final

from starlette.types import Scope

from appview.net.policy import Address, Network

_HEADER: Final = b"x-forwarded-for"
_REMEMBERED: Final = 8_192
_LONGEST: Final = 256
"""In bytes, of what is read of the header, at its right end: half a dozen addresses."""
_IPV6_PREFIX: Final = 64
"""Bits that one customer is given, who has all the addresses below."""

_UNKNOWN: Final = (
    "%s says for whom it asks (X-Forwarded-For), and is not believed: if it is a proxy of yours, name it in "
    "PLYR_TRUSTED_PROXIES, or all of its clients are taken for one"
)
_SILENT: Final = (
    "%s does not say for whom it asks: if it is a proxy, have it send X-Forwarded-For, or none of its clients is "
    "limited by their address"
)

_log = logging.getLogger(__name__)


class Addresses:
    """Reads addresses, for a server whose proxies have theirs in `trusted`; `is_public`: strangers ask it."""

    def __init__(self, trusted: Sequence[Network], *, is_public: bool) -> None:
        self._trusted = tuple(trusted)
        self._is_public = is_public
        self._read = lru_cache(_REMEMBERED)(self._client)
        self._warned: set[str] = set()

    def of(self, scope: Scope) -> str | None:
        """The client's address as a key, of IPv6 its network of 64 bits; None for one that is trusted itself, as is a
        program on this machine, and where there is none.
        """
        peer = scope.get("client")
        if peer is None:
            return None
        forwarded = b""
        for name, value in scope["headers"]:
            if name == _HEADER:
                # Several lines are one list.
                forwarded = b"%b,%b" % (forwarded, value) if forwarded else value
        return self._read(peer[0], forwarded[-_LONGEST:])

    def _client(self, peer: str, forwarded: bytes) -> str | None:
        address = _parsed(peer)
        if address is None:
            return None
        if not self._is_trusted(address):
            if forwarded:
                self._warn(_UNKNOWN, peer)
            return _key(address)
        if not forwarded:
            if self._is_public:
                self._warn(_SILENT, peer)
            return None
        for text in reversed(forwarded.decode("latin-1").split(",")):
            said = _parsed(text)
            if said is None:
                # Whoever said so is the last that is known.
                return _key(address)
            address = said
            if not self._is_trusted(address):
                return _key(address)
        return None

    def _is_trusted(self, address: Address) -> bool:
        return any(address in network for network in self._trusted if network.version == address.version)

    def _warn(self, sentence: str, peer: str) -> None:
        """Once, since anybody may have it said, and it may be as it should."""
        if sentence not in self._warned:
            self._warned.add(sentence)
            _log.warning(sentence, peer)


def _parsed(text: str) -> Address | None:
    """An address, with a port behind it or not; of an IPv4 address that IPv6 carries, the former."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def _key(address: Address) -> str:
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _IPV6_PREFIX), strict=False))
    return str(address)
