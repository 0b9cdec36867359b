"""`python -m appview publish-lexicons`: our lexicons as records on a PDS, where anybody can look them up."""

import argparse
import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from appview.commands import CommandError, Commands
from appview.commands.text import printable
from appview.config import Config, is_local
from appview.net.errors import NetError
from appview.net.http import HttpClient
from appview.net.lookup import Dns
from appview.net.pds import Account, PdsError, Record
from appview.net.policy import Policy
from lexicons.catalog import shipped
from lexicons.publication import COLLECTION, authorities, cid, records


def register(commands: Commands) -> None:
    """Add the command to `commands`."""
    parser = commands.add_parser(
        "publish-lexicons",
        help="write our lexicons into a repository, where others can look them up",
        description="Make the com.atproto.lexicon.schema records of a repository equal to the lexicons of our "
        "namespace and the permission set for apps. Writes what is new or has changed, each in place of the very "
        "version that was looked at; what is not ours any more is named and left alone. Prints the DNS records by "
        "which others find the repository. Exits with 0 when all is published, with 1 when a --dry-run finds that "
        "something would be written.",
    )
    parser.add_argument("--pds", required=True, metavar="URL", help="the PDS of the repository")
    parser.add_argument("--identifier", required=True, metavar="HANDLE", help="the account's handle or DID")
    how = parser.add_mutually_exclusive_group(required=True)
    how.add_argument("--password-file", type=Path, metavar="FILE", help="the file with an app password of the account")
    how.add_argument("--password-env", metavar="NAME", help="the environment variable with the app password")
    how.add_argument("--dry-run", action="store_true", help="only say what would be written; needs no password")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Publish."""
    namespace = Config.load().namespace
    password = None if options.dry_run else _password(options)
    _require_private_wire(options.pds)
    wanted = records(shipped(namespace), namespace)
    try:
        did, changes = asyncio.run(_publish(options.pds, options.identifier, password, wanted, namespace))
    except (NetError, PdsError) as error:
        raise CommandError(printable(str(error))) from None
    print("\nfor others to find them, these TXT records must be there:")
    print(*(f"{name}  did={did}" for name in authorities(wanted)), sep="\n")
    return 1 if changes and options.dry_run else 0


class Plan(NamedTuple):
    """What is to be done: the NSIDs that are not there, those that differ with what is there, and the rest."""

    create: list[str]
    update: dict[str, Record]
    unchanged: list[str]
    orphans: list[str]

    @classmethod
    def make(cls, wanted: Mapping[str, Mapping[str, Any]], there: Mapping[str, Record], namespace: str) -> "Plan":
        """From what is wanted to what is `there`, both by NSID; what is of another namespace does not concern us."""
        return cls(
            [nsid for nsid in wanted if nsid not in there],
            {nsid: there[nsid] for nsid in wanted if nsid in there and there[nsid].cid != cid(wanted[nsid])},
            [nsid for nsid in wanted if nsid in there and there[nsid].cid == cid(wanted[nsid])],
            [nsid for nsid in there if nsid not in wanted and nsid.startswith(f"{namespace}.")],
        )


async def _publish(
    pds: str, identifier: str, password: str | None, wanted: Mapping[str, Mapping[str, Any]], namespace: str
) -> tuple[str, int]:
    """The account's DID, and how much was written, or without a password would be."""
    async with HttpClient(Policy.trusting(pds), lookup=Dns().addresses) as http:
        account = Account(http, pds, identifier)
        did = await account.did() if password is None else await account.sign_in(password)
        there = {record.rkey: record async for record in account.records(did, COLLECTION)}
        plan = Plan.make(wanted, there, namespace)
        for nsid in (*plan.create, *plan.update):
            old = there.get(nsid)
            if password is not None:
                await account.put(did, COLLECTION, nsid, wanted[nsid], instead=old.cid if old else None)
            print(
                f"create  {nsid}" if old is None else f"update  {nsid} ({_changed(old.value, wanted[nsid])})",
                flush=True,
            )
    for nsid in plan.orphans:
        print(printable(f"orphan  {nsid} (none of ours any more, and left alone)"))
    done = "would be " if password is None else ""
    print(f"{len(plan.create)} {done}created, {len(plan.update)} {done}updated, {len(plan.unchanged)} unchanged")
    return did, len(plan.create) + len(plan.update)


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The names of the definitions that differ."""
    before = old.get("defs")
    before = before if isinstance(before, dict) else {}
    names = sorted(name for name in {*before, *new["defs"]} if before.get(name) != new["defs"].get(name))
    return printable(", ".join(names)[:200]) or "beside the definitions"


def _password(options: argparse.Namespace) -> str:
    """The app password. Raises CommandError when there is none; the message does not hold it."""
    if options.password_env is not None:
        password = os.environ.get(options.password_env, "")
        where = f"the environment variable {options.password_env}"
    else:
        where = f"the file {options.password_file}"
        try:
            password = options.password_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{where} cannot be read: {type(error).__name__}") from None
    if not password:
        raise CommandError(f"{where} holds no password")
    return password


def _require_private_wire(pds: str) -> None:
    """Raises CommandError where others could read along: a password goes over https, or nowhere."""
    try:
        parts = urlsplit(pds)
        host = parts.hostname or ""
    except ValueError:
        raise CommandError("--pds must be the URL of a host alone") from None
    if not host or parts.path.strip("/") or parts.query or parts.username:
        raise CommandError("--pds must be the URL of a host alone")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_local(host)):
        raise CommandError("--pds must be an https:// URL unless it is local")
