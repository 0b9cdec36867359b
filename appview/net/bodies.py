"""What a request sends: bytes, or chunks that are made while it is sent and can be made again for another try."""

from collections.abc import AsyncIterator, Callable

Body = bytes | Callable[[], AsyncIterator[bytes]]
"""Bytes, or what makes the chunks, from the first one each time that it is called."""


class WrongLength(ValueError):
    """A body has more or fewer bytes than were announced."""


class Source:
    """Chunks on their way out. `failure` is what went wrong in making them, which is not the connection's failure.

    With a `length`, in bytes, a body of any other is cut off, and its failure is WrongLength.
    """

    def __init__(self, chunks: AsyncIterator[bytes], length: int | None) -> None:
        self.failure: Exception | None = None
        self._chunks = chunks
        self._length = length

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            left = self._length
            async for chunk in self._chunks:
                if left is not None:
                    left -= len(chunk)
                    if left < 0:
                        break
                yield chunk
            if left:
                raise WrongLength("A body has another length than was announced.")
        except Exception as error:  # aiohttp takes whatever is raised here for a failure of the connection
            self.failure = error
            raise
