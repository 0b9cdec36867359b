"""The one log: what people see, what machines read, and what strangers cannot do to either."""

import io
from datetime import UTC, datetime

import orjson
import pytest

from appview.log import Style
from appview.supervisor.output import Output

AT = "2026-11-22T17:04:05.123Z"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Lost(io.StringIO):
    def flush(self) -> None:
        raise BrokenPipeError


def written(style: Style, *lines: bytes, stream: io.StringIO | None = None) -> list[str]:
    stream = stream or io.StringIO()
    output = Output(stream, style)
    for line in lines:
        output.relay("web", line)
    return stream.getvalue().splitlines()


def said(message: str, level: str = "info", **more: object) -> bytes:
    return orjson.dumps({"time": AT, "level": level, "process": "web", "message": message, **more})


def test_a_message_of_a_log_becomes_a_line_with_its_own_time() -> None:
    assert written("text", said("listening")) == ["2026-11-22 17:04:05 web       listening"]
    assert written("text", said("odd", "warning")) == ["2026-11-22 17:04:05 web       warning: odd"]


def test_a_traceback_follows_its_message() -> None:
    lines = written("text", said("broke", "error", traceback=["  File x", "ValueError: \x1b[2J"]))
    assert lines[1:] == ["  File x", "ValueError: \\x1b[2J"]


@pytest.mark.parametrize(
    "line",
    [
        b"plain words",
        b"{not json",
        b"[1]",
        b"7",
        b'{"message": "no time"}',
        b'{"time": 7, "level": "info", "message": "x"}',
        b'{"time": "2026-11-22T17:04:05Z", "level": "info", "message": 7}',
        b'{"time": "2026-11-22T17:04:05Z", "level": null, "message": "x"}',
    ],
)
def test_whatever_else_is_a_line_as_it_is(line: bytes) -> None:
    (text,) = written("text", line)
    assert text.endswith(f" web       {line.decode()}")
    assert abs(datetime.fromisoformat(text[:19]).replace(tzinfo=UTC).timestamp() - datetime.now(UTC).timestamp()) < 60


def test_what_is_empty_is_not_a_line() -> None:
    assert written("text", b"", b"  \r") == []


def test_nothing_moves_the_cursor() -> None:
    (text,) = written("text", b"a\x1b[2Jb\rc\xff\xc2\x9b")
    assert text.endswith("a\\x1b[2Jb\\x0dc\ufffd\\x9b")


def test_for_machines_everything_is_an_object() -> None:
    first, second = map(orjson.loads, written("json", said("listening", port=8080), b"plain words"))
    assert (first["message"], first["port"]) == ("listening", 8080)
    assert (second["message"], second["process"], second["level"]) == ("plain words", "web", "info")
    assert datetime.fromisoformat(first["time"]) == datetime.fromisoformat(AT)


def test_colours_only_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in written("text", said("listening"), stream=Terminal())[0]
    assert "\x1b[" not in written("json", said("listening"), stream=Terminal())[0]
    assert "\x1b[" not in written("text", said("listening"))[0]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in written("text", said("listening"), stream=Terminal())[0]


def test_the_loss_of_whoever_reads_is_survived() -> None:
    Output(Lost(), "text").say("up", "hello")
