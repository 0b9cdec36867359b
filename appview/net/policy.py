"""Which URLs and which addresses may be asked: the guard against requests forged through us (rule 10). Pure.

Everything a stranger can put into a DID document, a record or a parameter passes here twice: the URL before anything
is looked up, and each address before a socket to it is made.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, NamedTuple

from yarl import URL

from appview.net.errors import Refused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

MAX_URL: Final = 8192

_is_url_text = re.compile(rf"[!-~]{{1,{MAX_URL}}}").fullmatch
_is_host_name = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
).fullmatch
# The rule by which URL parsers and getaddrinfo take a name for an IPv4 address: its last label is a number.
_ends_in_number = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)").fullmatch

SPECIAL_TLDS: Final = frozenset({"alt", "arpa", "example", "internal", "invalid", "local", "localhost", "onion"})
"""Never resolved (ID-09); `test` joins them outside development."""

# IANA's special-purpose registries, written out: what `ipaddress` calls global differs between Python's releases.
_CLOSED_V4: Final = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # "this network"; on Linux 0.0.0.0 is the machine itself
        "10.0.0.0/8",
        "100.64.0.0/10",  # carriers' NAT; clouds put their metadata here as well
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's platform service: a public number that only its own machines reach
        "169.254.0.0/16",  # link-local, metadata services
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# Only 2000::/3 is handed out as global unicast. So the mapped, compatible, NAT64, local, multicast and unspecified
# forms fall outside without being named; what is inside and still not a plain host is listed.
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_CLOSED_V6: Final = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: carries an IPv4 address
        "3fff::/20",  # documentation
    )
)
_LOOPBACK: Final[tuple[Network, ...]] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


class Endpoint(NamedTuple):
    """An address and a port to connect to."""

    ip: str
    port: int


@dataclass(frozen=True, slots=True)
class HostMap:
    """Development's hosts: where a name, or every name below a suffix, is spoken to over plain http."""

    exact: Mapping[str, Endpoint] = field(default_factory=dict)
    below: Mapping[str, Endpoint] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> "HostMap":
        """Read `host=ip:port,*.suffix=ip:port,…`; raises ValueError with a sentence for the operator."""
        exact: dict[str, Endpoint] = {}
        below: dict[str, Endpoint] = {}
        for entry in filter(None, (part.strip() for part in text.split(","))):
            name, _, target = entry.partition("=")
            ip, _, port = target.rpartition(":")
            suffix = name.removeprefix("*.").lower()
            try:
                endpoint = Endpoint(str(ip_address(ip.removeprefix("[").removesuffix("]"))), int(port))
            except ValueError:
                raise ValueError(f"{entry!r} does not read host=ip:port") from None
            if not _is_host_name(suffix) or not 0 < endpoint.port < 65536:
                raise ValueError(f"{entry!r} does not read host=ip:port")
            (below if name.startswith("*.") else exact)[suffix] = endpoint
        return cls(exact, below)

    def find(self, host: str) -> Endpoint | None:
        """Where `host` (lower case) is; the nearest suffix wins."""
        if host in self.exact:
            return self.exact[host]
        _, _, parent = host.partition(".")
        while parent:
            if parent in self.below:
                return self.below[parent]
            _, _, parent = parent.partition(".")
        return None

    def targets(self) -> frozenset[Endpoint]:
        """Every endpoint that is named."""
        return frozenset(self.exact.values()) | frozenset(self.below.values())


@dataclass(frozen=True, slots=True)
class Policy:
    """What may be asked. As it stands, production: https on port 443, of globally routable unicast addresses."""

    schemes: frozenset[str] = frozenset({"https"})
    ports: frozenset[int] | None = frozenset({443})
    """None: any port."""
    networks: tuple[Network, ...] = ()
    """Allowed beside the globally routable addresses."""
    dev: bool = False
    """Whether the names `localhost` and `*.test` may be asked for."""
    hosts: HostMap = field(default_factory=HostMap)
    only: URL | None = None
    """When set, this origin alone may be asked, at whatever address it has."""

    @classmethod
    def development(cls, hosts: HostMap | None = None) -> "Policy":
        """Http, any port, loopback and `.test` as well, and the hosts of `PLYR_RESOLVE`."""
        return cls(
            schemes=frozenset({"http", "https"}), ports=None, networks=_LOOPBACK, dev=True, hosts=hosts or HostMap()
        )

    @classmethod
    def trusting(cls, url: str) -> "Policy":
        """The origin of `url` and nothing else: for a service the operator named, which may be on a private network.

        A client with this policy must never be given a stranger's URL. Raises Refused for what is no URL of a host.
        """
        named = parse_url(url)
        if named.scheme not in ("http", "https") or not named.raw_host:
            raise Refused("only http and https URLs with a host can be trusted")
        return cls(schemes=frozenset({"http", "https"}), ports=None, only=named.origin())

    def vet(self, url: URL) -> URL:
        """The URL to ask in place of `url`: without its fragment, and over http when its host is mapped.

        Raises Refused.
        """
        host, port = url.raw_host, url.port
        if url.scheme not in ("http", "https") or not host or not port:
            raise Refused("only http and https URLs with a host and a port other than 0 are fetched")
        if url.raw_user is not None or url.raw_password is not None:
            raise Refused("a URL with a user name or a password in it is not fetched")
        url = url.with_fragment(None)
        if self.only is not None:
            if not same_origin(url, self.only):
                raise Refused("this client speaks to one origin only, and this is another")
            return url
        if self.hosts.find(host) is not None:
            return url.with_scheme("http").with_port(None)
        if url.scheme not in self.schemes:
            raise Refused(f"{url.scheme} URLs are not fetched here")
        if self.ports is not None and port not in self.ports:
            raise Refused(f"port {port} is not spoken to")
        self._vet_host(host, port)
        return url

    def permits(self, address: str, port: int) -> bool:
        """Whether a connection to this very address (an IP, as text) may be made; to one with a zone id, never."""
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        if "%" in address:
            return False
        if self.only is not None or is_public(ip) or Endpoint(str(ip), port) in self.hosts.targets():
            return True
        return any(ip in network for network in self.networks)

    def names_special(self, host: str) -> bool:
        """Whether the last label of `host` is a name that is never resolved (ID-09)."""
        tld = host.lower().rpartition(".")[2]
        return tld in SPECIAL_TLDS or (tld == "test" and not self.dev)

    def _vet_host(self, host: str, port: int) -> None:
        if ":" in host or "%" in host or _ends_in_number(host):
            # Short, decimal, octal and hexadecimal forms do not parse as one address, and so are refused.
            if not self.permits(host, port):
                raise Refused(f"the address {host[:100]} is not spoken to")
        elif not _is_host_name(host):
            raise Refused("the host of a URL is not a plain host name")
        elif host == "localhost" and self.dev:
            return
        elif "." not in host or self.names_special(host):
            raise Refused(f"the host name {host} is never resolved")


def parse_url(text: str) -> URL:
    """`text` as a URL, which may be relative: visible ASCII of at most 8 KiB. Raises Refused."""
    if not _is_url_text(text):
        raise Refused("a URL is longer than 8 KiB or holds characters that it may not")
    try:
        return URL(text)
    except ValueError:
        raise Refused("a URL does not parse") from None


def same_origin(one: URL, other: URL) -> bool:
    """Whether scheme, host and port are the same."""
    return (one.scheme, one.raw_host, one.port) == (other.scheme, other.raw_host, other.port)


def is_public(address: Address) -> bool:
    """Whether `address` is a plain, globally routable unicast address, with no other address inside it."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_V4)
    if address not in _GLOBAL_V6:
        return False
    return not any(address in network for network in _CLOSED_V6)
