"""The test network for trying things by hand: `python -m tests.network`, until Ctrl-C."""

import argparse
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from urllib.parse import urlsplit

from tests.network import setup
from tests.network.arroba_pds import start_arroba
from tests.network.launch import Addresses, LaunchError, start_network

ENDS = {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD}  # the last: the network ended by itself


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the network until a signal; the exit code: 0, or 1 when it could not be installed or run."""
    options = _parser().parse_args(arguments)
    if setup.main([]) != 0:
        return 1
    try:
        with ExitStack() as running:
            addresses = running.enter_context(
                start_network(
                    plc_port=options.plc_port,
                    pds_ports=options.pds_ports,
                    dns_port=options.dns_port,
                    control_port=options.control_port,
                    hosts=dict(options.host),
                    crawlers=options.crawler,
                    legacy_did_documents=options.legacy_did_documents,
                )
            )
            arroba = running.enter_context(start_arroba(addresses.plc)) if options.arroba else None
            sys.stdout.write(_description(addresses, arroba))
            sys.stdout.flush()
            signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
            signal.sigwait(ENDS)
    except KeyboardInterrupt:  # before it was up
        return 0
    except LaunchError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.network",
        description="Run a PLC directory and PDSes on loopback until Ctrl-C. Nothing that they store outlives them.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--plc-port", type=int, default=2582, metavar="PORT", help="0: any that is free, as for all")
    parser.add_argument("--pds-ports", type=_ports, default=[2583, 2584], metavar="PORT,...", help="a PDS for each")
    parser.add_argument("--dns-port", type=int, default=2553, metavar="PORT", help="UDP: TXT records of the handles")
    parser.add_argument("--control-port", type=int, default=2553, metavar="PORT", help="HTTP: stop a PDS, set names")
    parser.add_argument(
        "--host", type=_host, action="append", default=[], metavar="NAME=URL", help="the PDSes find https://NAME at URL"
    )
    parser.add_argument("--crawler", action="append", default=[], metavar="URL", help="whom the PDSes ask for a crawl")
    parser.add_argument("--legacy-did-documents", action="store_true", help="have the directory write its old form")
    parser.add_argument("--arroba", action="store_true", help="run Arroba, another PDS, beside it")
    return parser


def _ports(text: str) -> list[int]:
    return [int(port) for port in text.split(",")]


def _host(text: str) -> tuple[str, str]:
    name, _, url = text.partition("=")
    if not urlsplit(url).hostname:
        raise ValueError
    return name, url


def _description(addresses: Addresses, arroba: str | None) -> str:
    first = addresses.pds[0]
    handle = f"alice{first.handle_domain}"
    pdses = "".join(f"PDS        {pds.url}   handles *{pds.handle_domain}\n" for pds in addresses.pds)
    resolve = ",".join(f"*{pds.handle_domain}=127.0.0.1:{urlsplit(pds.url).port}" for pds in addresses.pds)
    return f"""
PLC        {addresses.plc}
{pdses}{f"Arroba     {arroba}" + chr(10) if arroba else ""}DNS        {addresses.dns} (UDP, TXT)
control    {addresses.control}   GET / lists what it can do
admin      Basic admin:{addresses.admin_password}

An account, and a record with the accessJwt that this answers:

  curl {first.url}/xrpc/com.atproto.server.createAccount -H 'content-type: application/json' \\
    -d '{{"handle": "{handle}", "email": "alice@mail.test", "password": "correct horse"}}'
  curl {first.url}/xrpc/com.atproto.repo.createRecord -H 'content-type: application/json' \\
    -H "authorization: Bearer $accessJwt" -d '{{"repo": "{handle}", "collection": "fm.plyr.track", "record":
      {{"title": "Song", "artist": "Alice", "fileType": "mp3", "audioUrl": "https://audio.example/1.mp3",
       "createdAt": "2026-03-01T12:00:00Z"}}}}'

This system on top of it, in another terminal:

  PLYR_DEV=1 PLYR_PLC_URL={addresses.plc} PLYR_RELAY_URLS={",".join(pds.url for pds in addresses.pds)} \\
    PLYR_RESOLVE='{resolve}' make up

Ctrl-C stops it.
"""


if __name__ == "__main__":
    sys.exit(main())
