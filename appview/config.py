"""The settings: one field each, read from the environment and a `.env` file, and checked once, at the start."""

import difflib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, get_type_hints
from urllib.parse import SplitResult, quote, urlsplit

from dotenv import dotenv_values

from appview.net.policy import HostMap, Network, Policy
from lexicons.formats import is_did, is_nsid

PREFIX: Final = "PLYR_"
PUBLIC_AVATARS: Final = "https://cdn.bsky.app/img/avatar/plain/{did}/{cid}@jpeg"
PUBLIC_RELAYS: Final = ("wss://relay1.us-east.bsky.network", "wss://relay1.us-west.bsky.network")
MIN_SECRET: Final = 32
"""Characters of a secret key."""

# Read by the tests alone, and harmless in a process that they start.
_OF_THE_TESTS: Final = frozenset({"PLYR_TEST_DATABASE_URL"})

_is_shard = re.compile(r"(?P<index>0|[1-9][0-9]{0,3})/(?P<count>[1-9][0-9]{0,3})").fullmatch
_is_seconds = re.compile(r"[0-9]{1,8}(?:\.[0-9]{1,3})?").fullmatch
_is_decimal = re.compile(r"[0-9]{1,5}(?:\.[0-9]{1,4})?").fullmatch
_is_bind = re.compile(r"(?P<host>[0-9A-Za-z.-]+|\[[0-9a-f:.]+\]):(?P<port>[0-9]{1,5})").fullmatch


class ConfigError(Exception):
    """The settings cannot be used; the message is one sentence that names the variable."""


class Bind(NamedTuple):
    """Where to listen."""

    host: str
    port: int


def _url(*schemes: str, path: bool) -> Callable[[str], str]:
    """A reader of URLs of these schemes, without a slash at the end; with `path` false, of an origin alone."""

    def read(text: str) -> str:
        parts = _split(text)
        if parts.scheme not in schemes:
            raise ValueError(f"must be a URL of {' or '.join(f'{scheme}://' for scheme in schemes)}")
        if not path and (
            not parts.hostname or parts.path.strip("/") or parts.query or parts.fragment or parts.username
        ):
            raise ValueError("must be a URL of a host alone, without a path, a query, or a user")
        return text.rstrip("/")

    return read


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        _ = parts.port  # Parsed, and refused, only when asked for.
    except ValueError:
        raise ValueError("must be a URL") from None
    return parts


def _list(read: Callable[[str], str]) -> Callable[[str], tuple[str, ...]]:
    """A reader of what `read` reads, several with commas in between, none twice."""

    def read_all(text: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(read(part.strip()) for part in text.split(",") if part.strip()))

    return read_all


def _did(text: str) -> str:
    if not is_did(text):
        raise ValueError(f"holds {text[:100]!r}, which is not a DID")
    return text


def _namespace(text: str) -> str:
    if not is_nsid(f"{text}.track"):
        raise ValueError("must be the beginning of NSIDs, such as fm.plyr")
    return text


def _bind(text: str) -> Bind:
    match = _is_bind(text)
    if match is None or int(match["port"]) > 65535:
        raise ValueError("must read host:port, such as 127.0.0.1:8080")
    return Bind(match["host"].strip("[]"), int(match["port"]))


def _shard(text: str) -> str:
    match = _is_shard(text)
    if match is None or int(match["index"]) >= int(match["count"]):
        raise ValueError("must read i/n, where n is how many there are and i is from 0 to n - 1")
    return text


def _rate(text: str) -> float:
    if _is_decimal(text) is None or not 0.01 <= float(text) <= 10_000:
        raise ValueError("must be a number from 0.01 to 10000")
    return float(text)


def _seconds(text: str) -> float:
    if _is_seconds(text) is None or float(text) < 0.1:
        raise ValueError("must be a number of seconds, of at least 0.1")
    return float(text)


def _secret(text: str) -> str:
    if len(text) < MIN_SECRET:
        raise ValueError(f"must be at least {MIN_SECRET} characters of randomness")
    return text


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("must be 0 or 1")
    return text == "1"


def _log(text: str) -> str:
    if text not in ("text", "json"):
        raise ValueError("must be text or json")
    return text


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError("must hold addresses or networks, such as 10.0.0.0/8, with commas between") from None


def _avatars(text: str) -> str | None:
    if text == "pds":
        return None
    if not text.startswith(("https://", "http://")) or "{did}" not in text or "{cid}" not in text:
        raise ValueError("must be a URL with {did} and {cid} in it, or the word pds")
    return text


def _local_origin(values: Mapping[str, Any]) -> str:
    return f"http://localhost:{values['bind'].port}"


def _did_web(values: Mapping[str, Any]) -> str:
    return f"did:web:{quote(urlsplit(values['public_url']).netloc, safe='')}"


def _avatars_of_network(values: Mapping[str, Any]) -> str | None:
    # A network of one's own has no such service.
    return None if values["dev"] else PUBLIC_AVATARS


class Setting(NamedTuple):
    """A variable: how it is read, and what holds where it is not given, which may follow from the fields before."""

    variable: str
    read: Callable[[str], Any]
    default: Any = None
    derive: Callable[[Mapping[str, Any]], Any] | None = None


_this_machine = _networks("127.0.0.0/8,::1")

_database = _url("postgresql", "postgres", path=True)
_redis = _url("redis", "rediss", "unix", path=True)
_upstream = _url("wss", "ws", "https", "http", path=False)
_web = _url("https", "http", path=True)
_origin = _url("https", "http", path=False)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Config:
    """All settings of all processes. It has no `repr`, since it holds secrets."""

    database_url: Annotated[str | None, Setting("PLYR_DATABASE_URL", _database)]
    """None: embedded."""
    database_read_url: Annotated[str | None, Setting("PLYR_DATABASE_READ_URL", _database)]
    """A replica for queries; None: the one database."""
    redis_url: Annotated[str | None, Setting("PLYR_REDIS_URL", _redis)]
    """None: embedded."""
    data_dir: Annotated[Path, Setting("PLYR_DATA_DIR", Path, Path("data"))]
    """What the embedded servers keep, and secrets."""
    relay_urls: Annotated[tuple[str, ...], Setting("PLYR_RELAY_URLS", _list(_upstream), PUBLIC_RELAYS)]
    """Origins, of relays or of PDSes, in any of the four schemes."""
    plc_url: Annotated[str, Setting("PLYR_PLC_URL", _web, "https://plc.directory")]
    discovery_url: Annotated[str | None, Setting("PLYR_DISCOVERY_URL", _origin)]
    """Who lists repositories; None: each of the upstreams."""
    host_rate: Annotated[float, Setting("PLYR_HOST_RATE", _rate, 10.0)]
    """Requests a second to one host, of all ingesters together."""
    audit_seconds: Annotated[float, Setting("PLYR_AUDIT_SECONDS", _seconds, 86_400.0)]
    """In which every repository is compared with its PDS once."""
    namespace: Annotated[str, Setting("PLYR_NAMESPACE", _namespace, "fm.plyr")]
    bind: Annotated[Bind, Setting("PLYR_BIND", _bind, Bind("127.0.0.1", 8080))]
    public_url: Annotated[str, Setting("PLYR_PUBLIC_URL", _origin, derive=_local_origin)]
    """The origin under which the world reaches us."""
    service_did: Annotated[str, Setting("PLYR_SERVICE_DID", _did, derive=_did_web)]
    trusted_proxies: Annotated[tuple[Network, ...], Setting("PLYR_TRUSTED_PROXIES", _networks, _this_machine)]
    """Whose `X-Forwarded-For` is believed."""
    secret_key: Annotated[str | None, Setting("PLYR_SECRET_KEY", _secret)]
    old_secret_keys: Annotated[tuple[str, ...], Setting("PLYR_OLD_SECRET_KEYS", _list(_secret), ())]
    """Former secret keys, under which something may still be sealed, or granted to a client's key made of them."""
    labelers: Annotated[tuple[str, ...], Setting("PLYR_LABELERS", _list(_did), ())]
    operators: Annotated[tuple[str, ...], Setting("PLYR_OPERATORS", _list(_did), ())]
    shard: Annotated[str, Setting("PLYR_SHARD", _shard, "0/1")]
    """`i/n`."""
    dev: Annotated[bool, Setting("PLYR_DEV", _flag, default=False)]
    avatar_url: Annotated[str | None, Setting("PLYR_AVATAR_URL", _avatars, derive=_avatars_of_network)]
    """Where avatars of Bluesky's profiles are served, with `{did}` and `{cid}`; None: at the account's PDS."""
    log: Annotated[Literal["text", "json"], Setting("PLYR_LOG", _log, "text")]
    resolve: Annotated[HostMap, Setting("PLYR_RESOLVE", HostMap.parse, HostMap())]

    @classmethod
    def load(cls, environ: Mapping[str, str] = os.environ, dotenv: Path | None = Path(".env")) -> "Config":
        """The settings of `environ` and, where it has none, of the file `dotenv`; what is empty counts as not set.

        Raises ConfigError.
        """
        given = _given(environ, dotenv)
        _refuse_unknown(given)
        values: dict[str, Any] = {}
        for name, setting in settings().items():
            if setting.variable in given:
                values[name] = _read(setting, given[setting.variable])
            else:
                values[name] = setting.derive(values) if setting.derive else setting.default
        config = cls(**values)
        _check(config)
        return config

    @property
    def bind_host(self) -> str:
        """The address to listen on."""
        return self.bind.host

    @property
    def bind_port(self) -> int:
        """The port to listen on; 0 is any free one."""
        return self.bind.port

    def policy(self) -> Policy:
        """What may be asked of addresses that strangers name."""
        return Policy.development(self.resolve) if self.dev else Policy()


def settings() -> dict[str, Setting]:
    """Every setting, by the name of its field."""
    hints = get_type_hints(Config, include_extras=True)
    return {name: hint.__metadata__[0] for name, hint in hints.items()}


def _given(environ: Mapping[str, str], dotenv: Path | None) -> dict[str, str]:
    try:
        written = dotenv_values(dotenv, interpolate=False) if dotenv is not None else {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the file {dotenv} cannot be read: {error}") from None
    # An empty variable in the environment still hides the file's.
    return {name: value for name, value in {**written, **environ}.items() if name.startswith(PREFIX) and value}


def _refuse_unknown(names: Iterable[str]) -> None:
    known = [setting.variable for setting in settings().values()]
    for name in sorted(set(names) - _OF_THE_TESTS - set(known)):
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
        raise ConfigError(f"there is no setting {name}; the nearest is {nearest}")


def _read(setting: Setting, text: str) -> Any:
    try:
        return setting.read(text)
    except ValueError as error:
        raise ConfigError(f"{setting.variable} {error}") from None


def _check(config: Config) -> None:
    """What no setting can be by itself, but only beside others."""
    host = urlsplit(config.public_url).hostname or ""
    local = is_local(host)
    if config.dev and not local and config.resolve.find(host) is None:
        raise ConfigError(
            f"PLYR_DEV opens what production must not reach, so PLYR_PUBLIC_URL cannot be {config.public_url}: "
            "it must be local or be named in PLYR_RESOLVE"
        )
    if not config.dev:
        if config.resolve != HostMap():
            raise ConfigError("PLYR_RESOLVE is for development, and needs PLYR_DEV=1")
        if not local and not config.public_url.startswith("https://"):
            raise ConfigError("PLYR_PUBLIC_URL must be an https:// URL unless it is local")
    if config.old_secret_keys and config.secret_key is None:
        raise ConfigError("PLYR_OLD_SECRET_KEYS are former keys, and need a PLYR_SECRET_KEY that followed them")
    if config.secret_key in config.old_secret_keys:
        raise ConfigError("PLYR_OLD_SECRET_KEYS names the key that PLYR_SECRET_KEY is")
    if not config.relay_urls:
        raise ConfigError("PLYR_RELAY_URLS names no relay")


def is_local(host: str) -> bool:
    """Whether `host`, of a URL, is this machine by its very name."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
