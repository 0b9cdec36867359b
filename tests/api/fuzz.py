"""schemathesis on the running server: what the OpenAPI document allows, and what it does not, by the thousand."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from appview import db
from tests.index_writer import IndexWriter
from tests.xrpc.methods.world import ALICE, BOB, CAROL, World, make_world
from tests.xrpc.processes import web

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[1]
CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
"""Not among them is that whatever the document allows is taken: it knows no lengths in bytes, and no names of feeds."""

_is_count = re.compile(r"(\d+) generated").search


class Run(NamedTuple):
    """What came of a run: its exit code, and what it printed, of which the summary is the last part."""

    code: int
    said: str

    @property
    def cases(self) -> int:
        """How many requests were made."""
        found = _is_count(self.said)
        return int(found[1]) if found else 0


def fuzz(database_url: str, *, examples: int, seconds: int | None = None, seed: int = 1) -> Run:
    """Ask a server on the empty database at `database_url`, after it was filled: about `examples` a method."""
    texts = asyncio.run(_fill(database_url))
    with web(database_url, module="xrpc") as process:
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "--config-file",
            HERE / "schemathesis.toml",
            "run",
            f"{process.url}/api/openapi.json",
        ]
        options = ["--url", process.url, "--checks", ",".join(CHECKS), "--phases", "coverage,fuzzing"]
        # One worker: two threads that read source at the same time trip over each other in Python 3.11's parser.
        options += ["--no-color", "--workers", "1", "--warnings", "off"]
        options += ["--max-examples", str(examples), "--seed", str(seed), "--request-timeout", "30"]
        options += ["--continue-on-failure", "--suppress-health-check", "all"]
        options += ["--max-time", str(seconds)] if seconds is not None else []
        environment = os.environ | {"SCHEMATHESIS_HOOKS": "tests.api.formats", "API_TEXTS": json.dumps(texts)}
        environment |= {"PYTHONPATH": str(ROOT)}
        command += options
        ran = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return Run(ran.returncode, ran.stdout)


async def _fill(database_url: str) -> Mapping[str, list[str]]:
    """Something of everything in the index; the texts that lead to it, by their format."""
    connection = await db.connect(database_url)
    world: World = await make_world(IndexWriter(connection))
    await connection.close()
    dids, handles = [ALICE, BOB, CAROL], ["alice.test", "bob.test", "carol.test"]
    return {
        "at-identifier": [*dids, *handles],
        "at-uri": [*world],
        "did": dids,
        "handle": handles,
        "nsid": sorted({uri.split("/")[3] for uri in world}),
        "record-key": [uri.split("/")[4] for uri in world],
        "uri": [*world, *dids],
    }
