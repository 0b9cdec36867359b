"""One log of all processes: what each writes, a line at a time, with the time and the process in front."""

import os
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import orjson

from appview.log import Style, line, printable

_COLOURS: Final = (36, 35, 34, 32, 33, 96, 95, 94)
_LEVEL_COLOURS: Final = {"warning": 33, "error": 31, "critical": 31}


class Output:
    """Writes lines to a stream: JSON as JSON, for people as text; in colours on a terminal, unless NO_COLOR is set."""

    def __init__(self, stream: TextIO, style: Style) -> None:
        self._stream: Final = stream
        self._style: Final = style
        self._colours: Final = style == "text" and stream.isatty() and not os.environ.get("NO_COLOR")
        self._seen: Final[dict[str, int]] = {}

    def say(self, process: str, message: str, level: str = "info") -> None:
        """Write a message of our own."""
        self._write(process, {"time": datetime.now(UTC), "level": level, "process": process, "message": message})

    def relay(self, process: str, raw: bytes) -> None:
        """Write a line that `process` wrote: a JSON object of its log (`appview/log.py`), or any other text."""
        try:
            said = orjson.loads(raw)
            said["time"] = datetime.fromisoformat(said["time"])
            known = isinstance(said["message"], str) and isinstance(said["level"], str)
        except (KeyError, TypeError, ValueError):
            known = False
        if known:
            self._write(process, said)
        elif text := raw.decode(errors="replace").rstrip():
            self.say(process, text)

    def _write(self, process: str, said: dict[str, Any]) -> None:
        if self._style == "json":
            text = orjson.dumps(said, option=orjson.OPT_UTC_Z).decode()
        else:
            head = line(said["time"], process, said["level"], said["message"])
            text = "\n".join([head, *(printable(str(row)) for row in said.get("traceback", ()))])
        # Whoever read the log may be gone, or the disk be full: what runs goes on without one.
        with suppress(OSError):
            self._stream.write(f"{self._coloured(process, said['level'], text)}\n")
            self._stream.flush()

    def _coloured(self, process: str, level: str, text: str) -> str:
        if not self._colours:
            return text
        colour = _COLOURS[self._seen.setdefault(process, len(self._seen)) % len(_COLOURS)]
        text = text.replace(f" {process} ", f" \x1b[{colour}m{process}\x1b[0m ", 1)
        if level in _LEVEL_COLOURS:
            text = text.replace(f"{level}: ", f"\x1b[{_LEVEL_COLOURS[level]}m{level}: \x1b[0m", 1)
        return text
