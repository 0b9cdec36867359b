"""`python -m tests.chaos`: the scenarios one after the other, a line of a table for each."""

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from appview.embedded.postgres import postgres
from tests.chaos.harness import Arena, Toll
from tests.chaos.scenarios import SCENARIOS, Scenario
from tests.database import CARELESS, Server, serving

RUN_SECONDS: Final = 15 * 60.0
"""For all of it: what has not begun by then fails."""
SHOWN: Final = 30
"""Differences that are shown of one scenario."""
FORMAT: Final = "{:<22} {:>9} {:>7}  {:<14} {}"


async def played(scenario: Scenario, arena: Arena) -> Toll:
    """What comes of a scenario. Raises AssertionError, and TimeoutError when it does not end."""
    async with asyncio.timeout(scenario.seconds + arena.seconds):
        return await scenario.play(arena)


def run(name: str, server: Server, options: argparse.Namespace) -> bool:
    """Play one scenario and print its line; whether all is as it must be."""
    started = time.monotonic()
    faults: list[str] = []
    toll = Toll()
    with tempfile.TemporaryDirectory(prefix="plyr-") as folder, server.database() as url:
        arena = Arena(options.seed, url, Path(folder), options.seconds, options.kills)
        try:
            toll = asyncio.run(played(SCENARIOS[name], arena))
            faults = toll.missed + toll.differences
        except (AssertionError, TimeoutError) as error:
            faults = [f"{name}: {str(error) or 'it did not come to its end in time'}"]
        done = ", ".join(f"{count:,} {what}" for what, count in toll.hits.items()) or SCENARIOS[name].about
        seconds = f"{time.monotonic() - started:.0f} s"
        verdict = f"{len(toll.differences)} differences" if toll.hits else "FAILED"
        print(FORMAT.format(name, f"{toll.messages:,}", seconds, verdict, done), flush=True)
        if faults:
            said = "\n".join(faults[:SHOWN])
            logs = [log for log in sorted(Path(folder).glob("*.log")) if f"{log.stem}: " not in said]
            print("\n".join(["", said, *map(last_lines, logs), ""]), flush=True)
    return not faults


def last_lines(log: Path, count: int = 40) -> str:
    """The end of a log, each line with its name before it."""
    return "\n".join(f"{log.stem}: {line}" for line in log.read_text(errors="replace").splitlines()[-count:])


def main() -> int:
    """Play what is asked for; 1 when anything differs, or did not happen."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos",
        description="Everything that may go wrong, each while accounts of a made-up network go on writing, moving and "
        "leaving; then the tables must be what the hosts have, by an oracle that shares no code with the index.",
        epilog="The scenarios: " + "; ".join(f"{name} ({scenario.about})" for name, scenario in SCENARIOS.items()),
    )
    parser.add_argument("--only", metavar="NAME,...", help="these scenarios")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--kills", type=int, default=300, help="of the scenario kills")
    parser.add_argument("--seconds", type=float, default=8.0, help="for how long life goes on in each of the others")
    options = parser.parse_args()
    names = list(SCENARIOS) if options.only is None else [name.strip() for name in options.only.split(",")]
    if unknown := [name for name in names if name not in SCENARIOS]:
        parser.error(f"there is no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    started, good = time.monotonic(), 0
    print(f"seed {options.seed}\n\n" + FORMAT.format("scenario", "messages", "time", "verdict", "what was done"))
    with (
        tempfile.TemporaryDirectory(prefix="plyr-") as folder,
        postgres(Path(folder), CARELESS) as url,
        serving(url) as server,
    ):
        for name in names:
            if time.monotonic() - started > RUN_SECONDS:
                print(FORMAT.format(name, "", "", "NOT RUN", f"{RUN_SECONDS / 60:.0f} minutes are over"))
            else:
                good += run(name, server, options)
    print(f"\n{good} of {len(names)} as they must be, {time.monotonic() - started:.0f} s", flush=True)
    return 0 if good == len(names) else 1


if __name__ == "__main__":
    sys.exit(main())
