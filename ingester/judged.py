"""What was made of blocks, so that one that stands under any number of keys is judged once; bounded, however many."""

from typing import Final

from appview.index.tolerance import Content

KEPT: Final = 500
"""Of a commit's two hundred operations all, of an export's the last ones."""


class Judged:
    """The contents judged last, by collection and CID; and which of all that were judged are too large to repeat."""

    def __init__(self) -> None:
        self._contents: dict[tuple[str, bytes], Content] = {}
        self._large: set[tuple[str, bytes]] = set()

    def get(self, collection: str, cid: bytes) -> Content | None:
        """What was made of a block, where that is remembered."""
        return self._contents.get((collection, cid))

    def is_large(self, collection: str, cid: bytes) -> bool:
        """Whether the block was taken in already, and is too large to be taken in twice."""
        return (collection, cid) in self._large

    def keep(self, collection: str, cid: bytes, content: Content, *, is_large: bool) -> None:
        """Remember what was made of a block; of a large one, only that it was one."""
        if is_large:
            self._large.add((collection, cid))
            return
        self._contents[collection, cid] = content
        if len(self._contents) > KEPT:
            del self._contents[next(iter(self._contents))]
