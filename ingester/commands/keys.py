"""Where the verifying commands get signing keys from: a file of DID documents and logs, or a directory that answers."""

import argparse
from bisect import bisect_right
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import orjson

from appview.commands import CommandError
from appview.net.did_document import InvalidDocument, identity_at, parse_document
from appview.net.errors import Gone, IdentityError, Refused
from appview.net.http import HttpClient
from appview.net.identity import IdentityResolver
from appview.net.lookup import Dns
from appview.net.policy import Policy
from ingester.sync import Signer
from ingester.times import EPOCH


class KeySource(Protocol):
    """Answers which key a DID signed with at a time."""

    async def signer(self, did: str, when: datetime) -> Signer | None:
        """The signer of `did` at `when` (aware); None where there is no telling."""


class NoKeys:
    """The source that knows nobody."""

    async def signer(self, did: str, when: datetime) -> Signer | None:  # noqa: ARG002 - the protocol's signature
        """None, always."""
        return None


class DidsFile:
    """A JSON file `{did: {"doc": DID document, "log": PLC audit log}}`; a log, which has times, goes before."""

    def __init__(self, path: Path) -> None:
        try:
            entries = orjson.loads(path.read_bytes())
        except OSError as error:
            raise CommandError(f"{path} cannot be read: {error.strerror}") from None
        except orjson.JSONDecodeError:
            raise CommandError(f"{path} is not JSON") from None
        if not isinstance(entries, dict):
            raise CommandError(f"{path} is not a map of DIDs")
        self._entries: dict[str, Any] = entries
        self._histories: dict[str, list[tuple[datetime, Signer]]] = {}

    async def signer(self, did: str, when: datetime) -> Signer | None:
        """The signer by the last operation of the log not later than `when`, or by the document alone."""
        if did not in self._histories:
            self._histories[did] = _history(did, self._entries.get(did))
        history = self._histories[did]
        if not history:
            return None
        return history[max(0, bisect_right(history, when, key=lambda dated: dated[0]) - 1)][1]


class Directory:
    """A PLC directory, asked for the log of each DID once."""

    def __init__(self, identities: IdentityResolver) -> None:
        self._identities = identities

    async def signer(self, did: str, when: datetime) -> Signer | None:
        """The signer by the directory's log; of a did:web by its document, as it is now."""
        try:
            document = await self._identities.at(did, when)
        except Gone:
            return Signer(None)
        except IdentityError:
            return None
        return Signer(document.signing_key)


def _history(did: str, entry: Any) -> list[tuple[datetime, Signer]]:
    """Who signed for `did` since when, oldest first; empty where neither a log nor a document is any use."""
    if not isinstance(entry, dict):
        return []
    return _by_log(did, entry.get("log")) or _by_document(did, entry.get("doc", entry))


def _by_log(did: str, log: Any) -> list[tuple[datetime, Signer]]:
    # What a directory answered may as well be an error, or hold operations that are not known.
    try:
        times = sorted(datetime.fromisoformat(operation["createdAt"]) for operation in log)
        documents = [(when, identity_at(did, log, when, dev=True)) for when in times]
    except (InvalidDocument, KeyError, TypeError, ValueError):
        return []
    return [(when, Signer(document.signing_key if document else None)) for when, document in documents]


def _by_document(did: str, document: Any) -> list[tuple[datetime, Signer]]:
    try:
        return [(EPOCH, Signer(parse_document(did, document, dev=True).signing_key))]
    except InvalidDocument:
        return []


def add_key_options(parser: argparse.ArgumentParser) -> None:
    """Add `--dids FILE` and `--plc URL`, of which one may be given."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--dids", metavar="FILE", type=Path, help="a JSON file of DID documents and PLC logs")
    group.add_argument("--plc", metavar="URL", help="a PLC directory to ask, such as https://plc.directory")


@asynccontextmanager
async def key_source(options: argparse.Namespace) -> AsyncIterator[KeySource]:
    """The source that the options name; without any, one that knows nobody."""
    if options.dids is not None:
        yield DidsFile(options.dids)
    elif options.plc is not None:
        async with _directory(options.plc) as directory:
            yield directory
    else:
        yield NoKeys()


@asynccontextmanager
async def _directory(url: str) -> AsyncIterator["Directory"]:
    dns = Dns()
    # A directory on this very machine is a test network's, whose other hosts are on loopback too. Any other stays apart
    # from them: the DIDs that are looked up were named by strangers.
    policy = Policy.development() if _is_loopback(url) else Policy()
    try:
        async with (
            HttpClient(policy, lookup=dns.addresses) as http,
            HttpClient(Policy.trusting(url), lookup=dns.addresses) as plc_http,
        ):
            yield Directory(IdentityResolver(http, dns, plc_url=url, plc_http=plc_http))
    except Refused as error:
        raise CommandError(f"{url} cannot be asked: {error}") from None


def _is_loopback(url: str) -> bool:
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def frame_time(text: str) -> datetime:
    """The instant that a message's `time` names; the oldest one there is for what `datetime` cannot hold (DM-22)."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
