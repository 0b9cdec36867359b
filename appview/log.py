"""How a process writes its log: lines for people, or JSON objects for machines, on standard error."""

import logging
import sys
from datetime import UTC, datetime
from typing import Final, Literal

import orjson

Style = Literal["text", "json"]

# What would move the cursor of whoever reads the log, fake a line of it, or turn its order round: strangers wrote some.
_CONTROLS: Final = (*range(0x09), *range(0x0A, 0x20), *range(0x7F, 0xA0))
_SEPARATORS: Final = (*range(0x2028, 0x202F), *range(0x2066, 0x206A))
_ESCAPES: Final = {code: f"\\x{code:02x}" for code in _CONTROLS} | {code: f"\\u{code:04x}" for code in _SEPARATORS}
_MAX_MESSAGE: Final = 8_192


def configure(style: Style, process: str) -> None:
    """Write every record of level INFO and above to standard error, as `process`; replaces what was configured."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(process) if style == "json" else TextFormatter(process))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)


def printable(text: str) -> str:
    """`text` on one line: what is not printable is written as an escape, and what is far too long is cut."""
    if len(text) > _MAX_MESSAGE:
        text = f"{text[:_MAX_MESSAGE]} ... ({len(text):,} characters)"
    return text.translate(_ESCAPES).encode(errors="backslashreplace").decode()


def line(time: datetime, process: str, level: str, message: str) -> str:
    """`2026-11-22 17:04:05 ingester  message`, with the level before the message where it is not info."""
    shown = "" if level == "info" else f"{level}: "
    return printable(f"{time:%Y-%m-%d %H:%M:%S} {process:<9} {shown}{message}")


class TextFormatter(logging.Formatter):
    """A `line` for each record; a traceback follows, indented."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The line, or lines."""
        head = line(_time(record), self._process, record.levelname.lower(), record.getMessage())
        return "\n".join([head, *_traceback(self, record)])


class JsonFormatter(logging.Formatter):
    """One object a line: time, level, process, logger, message, and the lines of a traceback where there is one."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The object."""
        said = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": printable(record.getMessage()),
        }
        if traceback := _traceback(self, record):
            said["traceback"] = traceback
        return orjson.dumps(said, option=orjson.OPT_UTC_Z).decode()


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> list[str]:
    lines = formatter.formatException(record.exc_info).splitlines() if record.exc_info else []
    return [f"  {printable(text)}" for text in lines]
