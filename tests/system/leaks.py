"""What must be found nowhere: every secret that a run has seen, and where to look for it."""

import base64
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from redis.asyncio import Redis

from appview.accounts.grants import PURPOSE, owner
from appview.accounts.replays import connect_redis
from appview.accounts.vault import Vault
from appview.db import Connection

IN_URLS: Final = frozenset({"code", "state", "request_uri"})
"""Parameters of addresses that browsers are sent to while they sign in."""
_LEAST: Final = 16
"""Characters: what is shorter is no secret of ours, and is found by chance."""
_PIECE: Final = 20


class Secrets:
    """Each secret by what it is."""

    def __init__(self) -> None:
        self._named: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._named)

    @property
    def kinds(self) -> set[str]:
        """What has been seen."""
        return set(self._named.values())

    def add(self, name: str, text: str) -> None:
        """Remember that `text` is a secret."""
        if len(text) >= _LEAST:
            self._named[text] = name

    def add_of_url(self, url: str) -> None:
        """Remember what is secret in an address."""
        for name, value in parse_qsl(urlsplit(url).query):
            if name in IN_URLS:
                self.add(name, value)

    def add_of(self, what: str, value: Any) -> None:
        """Remember the strings anywhere in `value`, JSON, that an app keeps to act for somebody."""
        for name, text in _leaves(value):
            if name == "dpop_key":
                self.add_of(what, json.loads(text))
            elif name in {"access_token", "refresh_token", "verifier", "code_verifier", "d"}:
                self.add(f"{what} {name}", text)

    def found_in(self, texts: Mapping[str, str]) -> list[str]:
        """Where a secret, or a piece of it, stands that it could be known by: what it is and where, a line each.

        The end of a secret is looked for as well as its beginning, since a log cuts what is long; and each as bytes
        are written in hexadecimal, in base64 and in addresses.
        """
        return sorted(
            {
                f"{name} is in {where}"
                for secret, name in self._named.items()
                for piece in _pieces(secret)
                for where, text in texts.items()
                if piece in text
            }
        )


def _pieces(secret: str) -> set[str]:
    """What a text is searched for: no JWT by its beginning, which all of them share."""
    ends = {secret[-_PIECE:]} | (set() if secret.startswith("eyJ") else {secret[:_PIECE]})
    return ends | {end.encode().hex() for end in ends} | {base64.b64encode(end.encode()).decode()[:-4] for end in ends}


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield name, value
    elif isinstance(value, Mapping):
        for inner, one in value.items():
            yield from _leaves(one, inner)
    elif isinstance(value, Iterable):
        for one in value:
            yield from _leaves(one, name)


async def everything_in(connection: Connection) -> dict[str, str]:
    """All of the database as text, by table."""
    tables = await connection.fetch("select tablename from pg_tables where schemaname = 'public'")
    found: dict[str, str] = {}
    for (table,) in tables:
        rows = await connection.fetch(f'select "{table}"::text from "{table}"')
        found[f"the table {table}"] = "\n".join(text for (text,) in rows)
    return found


async def everything_in_redis(url: str) -> str:
    """All that a Redis holds, as text: a line for each key."""
    redis = connect_redis(url)
    try:
        lines = [f"{key!r} {await _value(redis, key)!r}" async for key in redis.scan_iter()]
    finally:
        await redis.aclose()
    return "\n".join(lines)


async def _value(redis: Redis, key: bytes) -> Any:
    match bytes(await redis.type(key)):  # type: ignore[arg-type]  # it decodes nothing here
        case b"string":
            return await redis.get(key)
        case b"hash":
            return await redis.hgetall(key)
        case b"list":
            return await redis.lrange(key, 0, -1)
        case b"zset":
            return await redis.zrange(key, 0, -1, withscores=True)
        case _:
            return await redis.dump(key)


async def add_grants(secrets: Secrets, connection: Connection, secret_key: str) -> int:
    """Remember all that is sealed in the grants of a database; how many grants that were."""
    vault = Vault([secret_key])
    rows = await connection.fetch("select id, did, sealed from grants where sealed is not null")
    for row in rows:
        opened = vault.open(row["sealed"], purpose=PURPOSE, owner=owner(row["id"], row["did"]))
        secrets.add_of("of a grant:", opened)
    return len(rows)
