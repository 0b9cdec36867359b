"""What many ask at once is answered once: answers to nobody in particular, kept for a moment.

The bound: an answer is never older than `seconds` when it is asked for, since it is kept only so long after the asking
began that brought it. Who asks while it is under way waits for it with the others.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Final, NamedTuple

from xrpc.answers import Answer

HOT_SECONDS: Final = 0.25
MOST_BYTES: Final = 32 * 1024 * 1024
"""Of all the answers that a process keeps."""


class _Asked(NamedTuple):
    began: float
    answering: "asyncio.Task[Answer]"


class Hot:
    """The answers of the last `seconds`, by what was asked; 0 keeps none, and lets everybody ask for themselves."""

    def __init__(self, seconds: float = HOT_SECONDS, most_bytes: int = MOST_BYTES) -> None:
        self._seconds: Final = seconds
        self._most: Final = most_bytes
        self._asked: OrderedDict[Hashable, _Asked] = OrderedDict()
        self._bytes = 0

    async def answer(self, key: Hashable, ask: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """The answer to `key`: one that is here or under way, or what `ask` brings. Raises what `ask` raises."""
        if not self._seconds:
            return await ask()
        now = asyncio.get_running_loop().time()
        asked = self._asked.get(key)
        if asked is None or now - asked.began >= self._seconds:
            self._forget_before(now - self._seconds)
            asked = _Asked(now, asyncio.create_task(ask()))
            self._asked[key] = asked
            asked.answering.add_done_callback(lambda _: self._settle(key, asked))
        elif asked.answering.done():
            return asked.answering.result()
        # Whoever goes away leaves the answer to the others.
        return await asyncio.shield(asked.answering)

    def _settle(self, key: Hashable, asked: _Asked) -> None:
        """What failed is asked again by the next."""
        failed = asked.answering.cancelled() or asked.answering.exception() is not None
        if self._asked.get(key) is not asked:
            return
        if failed:
            del self._asked[key]
            return
        self._bytes += len(asked.answering.result().body)
        while self._bytes > self._most:
            self._drop(next(iter(self._asked)))

    def _forget_before(self, began: float) -> None:
        while self._asked and (first := next(iter(self._asked.items())))[1].began <= began:
            self._drop(first[0])

    def _drop(self, key: Hashable) -> None:
        task = self._asked.pop(key).answering
        if task.done() and not task.cancelled() and task.exception() is None:
            self._bytes -= len(task.result().body)
