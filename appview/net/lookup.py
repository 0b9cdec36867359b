"""DNS, as a stub resolver in this process: no thread for a silent name server to hold up, no search list.

/etc/hosts is not read; `localhost` is the loopback, and development names its hosts in `PLYR_RESOLVE`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import dns.asyncresolver
import dns.exception
import dns.rdata
import dns.resolver
from dns.nameserver import Do53Nameserver
from dns.rdatatype import RdataType
from dns.rdtypes.ANY.TXT import TXT

from appview.net.errors import NoSuchHost, Unreachable

Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""From a host name to its addresses, as text; raises NoSuchHost or Unreachable."""

LIFETIME: Final = 4.0
"""Seconds for one question, over all name servers and repetitions."""

_LOOPBACK: Final = ("127.0.0.1", "::1")


class Dns:
    """Questions to the machine's name servers, or to `nameserver` (an address and a port) instead."""

    def __init__(self, nameserver: tuple[str, int] | None = None, *, lifetime: float = LIFETIME) -> None:
        self.of_machine = nameserver is None
        """Whether these are the name servers of the world, which know no host of development's."""
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=self.of_machine)
        except dns.resolver.NoResolverConfiguration:
            # A machine without name servers still has loopback; each question is then answered by nobody.
            self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._lifetime = lifetime
        if nameserver is not None:
            self._resolver.nameservers = [Do53Nameserver(*nameserver)]

    async def addresses(self, host: str) -> Sequence[str]:
        """The IPv4 and then the IPv6 addresses of `host`. Raises NoSuchHost, or Unreachable when nobody could say."""
        if host == "localhost":
            return _LOOPBACK
        v4, v6 = await asyncio.gather(
            self._ask(host, RdataType.A), self._ask(host, RdataType.AAAA), return_exceptions=True
        )
        found: list[str] = []
        failed: Unreachable | None = None
        for answer in (v4, v6):
            if isinstance(answer, Unreachable):
                failed = answer
            elif isinstance(answer, BaseException):
                raise answer
            else:
                found += [record.to_text() for record in answer]
        if found:
            return found
        raise failed or NoSuchHost(f"{host} has no address")

    async def texts(self, name: str) -> list[str]:
        """The values of the TXT records of `name`, each with its chunks joined; none when there are none.

        Raises Unreachable when nobody could say.
        """
        answer = await self._ask(name, RdataType.TXT)
        return [b"".join(record.strings).decode("utf-8", "replace") for record in answer if isinstance(record, TXT)]

    async def _ask(self, name: str, kind: RdataType) -> Sequence[dns.rdata.Rdata]:
        try:
            answer = await self._resolver.resolve(name, kind, search=False, lifetime=self._lifetime)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        except (dns.exception.DNSException, OSError) as error:
            raise Unreachable(f"no name server answered for {name}") from error
        return tuple(answer)
