"""A feed before it is dressed: which tracks, and why each of them."""

from typing import NamedTuple

from appview.reads.views import View


class Entry(NamedTuple):
    """A place in a feed: a track's address, and the reason for it, an object of an open union, with its `$type`."""

    uri: str
    reason: View | None
