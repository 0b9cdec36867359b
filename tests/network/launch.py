"""The test network as a child process: started, described by its addresses, and gone with whoever started it."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.network.setup import COMMAND, HERE, NODE, NODE_MODULES, SetupError, servers_installed

STOP_SECONDS = 15


class LaunchError(Exception):
    """The test network did not start, or did not stop as it should; it says why on standard error."""


@dataclass(frozen=True, slots=True)
class PdsAddress:
    """Where one PDS is: its URL, its service DID, and the domain of its users' handles (`.pds1.test`)."""

    url: str
    did: str
    handle_domain: str


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where everything of a running network is. `dns` is `ip:port` over UDP; the rest are URLs."""

    plc: str
    pds: tuple[PdsAddress, ...]
    dns: str
    control: str
    admin_password: str
    data_directory: str
    pid: int


@contextmanager
def start_network(
    *,
    plc_port: int = 0,
    pds_ports: Sequence[int] = (0, 0),
    dns_port: int = 0,
    control_port: int = 0,
    hosts: Mapping[str, str] | None = None,
    crawlers: Sequence[str] = (),
    trusted_clients: Sequence[str] = (),
    legacy_did_documents: bool = False,
    blob_limit: int | None = None,
    backfill_limit_ms: int | None = None,
    max_subscription_buffer: int | None = None,
) -> Iterator[Addresses]:
    """Run a PLC directory and one PDS for each of `pds_ports` while the block lasts.

    Takes two to three seconds; half a second with no PDS. A port of 0 is any free one. `hosts` maps https host names to
    the loopback URLs that the PDSes are to take them for; `crawlers` are the URLs whom each PDS asks for a crawl. The
    limits are in bytes, in milliseconds that a stream reaches back, and in frames that a consumer may be behind; what
    they are when None is said in network.mjs. SetupError when the servers are not installed.
    """
    if not servers_installed():
        raise SetupError(f"The test network is not installed, or not as its lock file says: run `{COMMAND}` first.")
    options: dict[str, Any] = {
        "plcPort": plc_port,
        "pdsPorts": list(pds_ports),
        "dnsPort": dns_port,
        "controlPort": control_port,
        "hosts": dict(hosts or {}),
        "crawlers": list(crawlers),
        "trustedClients": list(trusted_clients),
        "legacyDidDocuments": legacy_did_documents,
        "blobLimit": blob_limit,
        "backfillLimitMs": backfill_limit_ms,
        "maxSubscriptionBuffer": max_subscription_buffer,
    }
    said = {name: value for name, value in options.items() if value is not None}
    environment = os.environ | {"NODE_COMPILE_CACHE": str(NODE_MODULES / ".cache" / "compiled")}
    with child([NODE, HERE / "network.mjs", json.dumps(said)], environment) as state:
        yield Addresses(
            plc=state["plc"],
            pds=tuple(PdsAddress(pds["url"], pds["did"], pds["handleDomain"]) for pds in state["pds"]),
            dns=state["dns"],
            control=state["control"],
            admin_password=state["adminPassword"],
            data_directory=state["dataDirectory"],
            pid=state["pid"],
        )


@contextmanager
def child(command: Sequence[object], environment: Mapping[str, str] | None = None) -> Iterator[dict[str, Any]]:
    """Run a server that prints `READY {json}` and ends with its standard input; yields the JSON.

    It is in a session of its own, so a Ctrl-C at the terminal reaches us alone and we end it in our order; and should
    we be killed, its input ends with us. LaunchError when it does not get ready or does not end with code 0.
    """
    with subprocess.Popen(
        list(map(str, command)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ready, _, state = process.stdout.readline().partition(" ")
        if ready != "READY":
            process.stdin.close()
            raise LaunchError(f"{command[1]} ended with code {process.wait(STOP_SECONDS)} before it was ready.")
        try:
            yield json.loads(state)
        finally:
            process.stdin.close()
            code = _ended(process)
        if code != 0:
            raise LaunchError(f"{command[1]} ended with code {code}.")


def _ended(process: "subprocess.Popen[str]") -> int:
    try:
        return process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
