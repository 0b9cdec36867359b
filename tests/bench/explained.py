"""What Postgres did for each statement of a running server: plans as they were executed, with what they really read.

The server connects with `auto_explain` switched on by its URL, and the plans are read from Postgres' own log.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

_SETTINGS: Final = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_timing": "off",
    "auto_explain.log_format": "json",
    "auto_explain.log_parameter_max_length": "0",
}
_begins = re.compile(r"LOG:  duration: ([0-9.]+) ms  plan:").match


class Executed(NamedTuple):
    """One execution of a statement; `rows` is the most that any step of it read, put aside or handed on."""

    query: str
    milliseconds: float
    indexes: frozenset[str]
    scanned: frozenset[str]
    """Tables that were read from end to end."""
    rows: int


def explaining(url: str) -> str:
    """The URL of the same database, on whose connections every statement is explained in the server's log."""
    return f"{url}{'&' if '?' in url else '?'}{urlencode(_SETTINGS)}"


class Log:
    """The server's log, from here on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = path.stat().st_size

    def taken(self) -> list[Executed]:
        """What was executed since this was asked last."""
        with self._path.open("rb") as file:
            file.seek(self._place)
            text = file.read()
        self._place += len(text)
        return list(_executed(text.decode(errors="replace").splitlines()))


def _executed(lines: list[str]) -> Iterator[Executed]:
    for place, line in enumerate(lines):
        found = _begins(line)
        if found is not None:
            rest = lines[place + 1 :]
            length = next((n for n, other in enumerate(rest) if not other.startswith("\t")), len(rest))
            said = json.loads("\n".join(rest[:length]))
            nodes = list(_nodes(said["Plan"]))
            yield Executed(
                " ".join(said["Query Text"].split()),
                float(found[1]),
                frozenset(node["Index Name"] for node in nodes if "Index Name" in node and node["Actual Loops"]),
                frozenset(node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"),
                max(map(_read, nodes)),
            )


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _read(node: dict[str, Any]) -> int:
    aside = sum(int(node.get(name, 0)) for name in ("Rows Removed by Filter", "Rows Removed by Index Recheck"))
    return int((node["Actual Rows"] + aside) * node["Actual Loops"])
