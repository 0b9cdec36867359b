"""How far a long command has come, on standard error: a line that rewrites itself, or now and then one in a log."""

import sys
import time

_TERMINAL_SECONDS = 0.2
_LOG_SECONDS = 10.0


class Progress:
    """Says how much of `total` (0: not known) is done, in `unit`s; quiet for work that is over before a line is due."""

    def __init__(self, total: int, unit: str) -> None:
        self._total = total
        self._unit = unit
        self._terminal = sys.stderr.isatty()
        self._started = time.monotonic()
        self._due = self._started + (_TERMINAL_SECONDS if self._terminal else _LOG_SECONDS)
        self._shown = False

    def at(self, done: int, note: str = "") -> None:
        """`done` of the total are done; writes at most a few times a second, or in a log every ten seconds."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + (_TERMINAL_SECONDS if self._terminal else _LOG_SECONDS)
        elapsed = now - self._started
        line = f"{done:,} {self._unit}, {elapsed:.0f} s{note and f', {note}'}"
        if self._total and done:
            share = done / self._total
            line = f"{share:6.1%} of {self._total:,}: {line}, {elapsed / share - elapsed:.0f} s left"
        print(
            f"\r\x1b[K{line}" if self._terminal else line,
            end="" if self._terminal else "\n",
            file=sys.stderr,
            flush=True,
        )
        self._shown = True

    def end(self) -> None:
        """The work is over: clear the line."""
        if self._shown and self._terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
