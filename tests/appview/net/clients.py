"""Clients for the tests. 127.0.0.2 plays the public network, 127.0.0.1 our own."""

from collections.abc import Sequence
from ipaddress import ip_network

from appview.net.http import HttpClient, Limits
from appview.net.lookup import Lookup
from appview.net.policy import Policy

PUBLIC, PRIVATE = "127.0.0.2", "127.0.0.1"
OUTSIDE = Policy(schemes=frozenset({"http", "https"}), ports=None, networks=(ip_network("127.0.0.2/32"),))
DEVELOPMENT = Policy.development()
QUICK = Limits(connect=0.5, read=0.3)


def dns(*answers: Sequence[str]) -> Lookup:
    """A name server whose first answer is the first, and so on; the last one stays."""
    left = list(answers)

    async def lookup(host: str) -> Sequence[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return lookup


def client(policy: Policy = OUTSIDE, *, lookup: Lookup | None = None, limits: Limits = QUICK) -> HttpClient:
    return HttpClient(policy, lookup=lookup or dns([PUBLIC]), limits=limits)
