"""The network's process: its options, and that nothing of it stays behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.network.frames import subscribe
from tests.network.launch import start_network
from tests.network.network import Network
from tests.network.setup import HERE, NODE

# Starts a network, tells its process id, a port of it and where its data is, and waits to be killed.
VICTIM = """
import sys
from tests.network.launch import start_network
with start_network(pds_ports=[]) as addresses:
    print(addresses.pid, addresses.plc.rpartition(":")[2], addresses.data_directory, flush=True)
    sys.stdin.read()
"""


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def eventually(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


async def test_options_reach_the_servers() -> None:
    with start_network(pds_ports=[0], legacy_did_documents=True, backfill_limit_ms=1) as addresses:
        async with Network.connect(addresses) as network:
            user = await network.create_account()
            await user.create_record("fm.plyr.track", {"title": "later"})
            (method,) = (await network.did_document(user.did))["verificationMethod"]
        async with subscribe(addresses.pds[0].url, cursor=0) as stream:
            first = await stream.next()
    assert (method["type"], method["id"]) == ("EcdsaSecp256k1VerificationKey2019", "#atproto")
    assert first is not None
    assert (first.kind, first.body["name"]) == ("#info", "OutdatedCursor")


def test_it_ends_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", VICTIM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid, port, data = parent.stdout.readline().split()
        assert is_open(int(port))
        assert Path(data).is_dir()
        parent.send_signal(signal.SIGKILL)
    assert eventually(lambda: not is_running(int(pid)))
    assert not is_open(int(port))
    assert not Path(data).exists()


def test_by_hand_it_runs_until_ctrl_c() -> None:
    command = [
        sys.executable,
        "-m",
        "tests.network",
        "--plc-port=0",
        "--pds-ports=0",
        "--dns-port=0",
        "--control-port=0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as network:
        assert network.stdout is not None
        said = list(iter(network.stdout.readline, "Ctrl-C stops it.\n"))
        os.killpg(network.pid, signal.SIGINT)
        assert network.wait(10) == 0
    (url,) = [line.split()[1] for line in said if line.startswith("PDS")]
    assert not is_open(int(url.rpartition(":")[2]))


def test_a_port_in_use_is_said_plainly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "tests.network", f"--plc-port={port}"]
        network = subprocess.run(command, capture_output=True, text=True, check=False)
    assert network.returncode == 1
    assert network.stderr.startswith(f"Port {port} of this machine is in use.\n")


def test_what_is_not_on_this_machine_is_not_asked_for() -> None:
    script = """
        import { hosts } from './loopback.mjs'
        const reach = (url) => fetch(url).catch((error) => error.cause?.code ?? error.message)
        hosts.set('appview.test', `http://127.0.0.1:${process.argv[1]}`)
        console.log(await reach('https://appview.test/x'))
        console.log(await reach('https://192.0.2.1/'))
    """
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = str(closed.getsockname()[1])
    command: list[str | Path] = [NODE, "--input-type=module", "-e", script, port]
    output = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=True)
    assert output.stdout.splitlines() == [
        "ECONNREFUSED",  # it did knock at the stand-in
        "192.0.2.1 is not on this machine and no loopback URL stands for it",
    ]
