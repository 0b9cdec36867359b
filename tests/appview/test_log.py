"""What a process writes of itself."""

import io
import logging
import subprocess
import sys
from datetime import datetime

import orjson
import pytest

from appview.log import JsonFormatter, TextFormatter, printable

PROGRAM = """
import logging, warnings
from appview.log import configure
configure({style!r}, "web")
logging.getLogger("x").debug("not this")
logging.getLogger("x").info("it is %s", "on")
warnings.warn("careful")
"""


def record(message: str) -> logging.LogRecord:
    return logging.LogRecord("plyr", logging.INFO, __file__, 1, message, (), None)


def written(style: str) -> list[str]:
    ran = subprocess.run([sys.executable, "-c", PROGRAM.format(style=style)], capture_output=True, check=True)
    assert ran.stdout == b""
    return ran.stderr.decode().splitlines()


def test_text_is_a_line_for_people() -> None:
    lines = written("text")
    assert lines[0].endswith(" web       it is on")
    assert datetime.fromisoformat(lines[0][:19]).year > 2000
    assert " web       warning: " in lines[1]
    assert "UserWarning: careful" in lines[1]


def test_json_is_an_object_a_line() -> None:
    info, warning = map(orjson.loads, written("json"))
    assert {key: info[key] for key in ("level", "process", "logger", "message")} == {
        "level": "info",
        "process": "web",
        "logger": "x",
        "message": "it is on",
    }
    assert datetime.fromisoformat(info["time"]).tzinfo is not None
    assert warning["level"] == "warning"


def test_what_strangers_write_cannot_fake_a_line_or_move_the_cursor() -> None:
    hostile = "title\n2026-11-22 17:04:05 web  all is well\x1b[2J\r\x00\x9b\u2028\u202e"
    text = TextFormatter("ingester").format(record(hostile))
    assert text.count("\n") == 0
    assert not {"\r", "\x00", "\x1b", "\x9b", "\u2028", "\u202e"} & set(text)
    assert "\n" not in orjson.loads(JsonFormatter("ingester").format(record(hostile)))["message"]


def test_lone_surrogates_can_be_written() -> None:
    assert orjson.loads(JsonFormatter("ingester").format(record("\ud800")))["message"] == "\\ud800"
    io.TextIOWrapper(io.BytesIO(), "utf-8").write(TextFormatter("ingester").format(record("\ud800")))


def test_what_is_far_too_long_is_cut() -> None:
    assert len(printable("x" * 1_000_000)) < 10_000
    assert printable("x" * 1_000_000).endswith("(1,000,000 characters)")


@pytest.mark.parametrize("formatter", [TextFormatter("web"), JsonFormatter("web")])
def test_a_traceback_is_kept_with_its_message(formatter: logging.Formatter) -> None:
    try:
        raise ValueError("odd\nvalue")
    except ValueError as error:
        failed = logging.LogRecord(
            "plyr", logging.ERROR, __file__, 1, "it broke", (), (ValueError, error, error.__traceback__)
        )
    text = formatter.format(failed)
    assert "it broke" in text
    assert "ValueError: odd" in text
    assert "test_log.py" in text
