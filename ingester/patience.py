"""How long an ingester waits for its upstreams, and when it has waited enough. Seconds; tests have less of it."""

from typing import NamedTuple


class Patience(NamedTuple):
    """All times that concern upstreams and are not the protocol's."""

    first_wait: float = 1.0
    """The longest wait before connecting again is twice this after one failure, and doubles with each that follows."""
    most_wait: float = 64.0
    """And never more than this."""
    stable: float = 60.0
    """A connection that lasted this long, or brought a message, was a good one: waits are short again (ES-42)."""
    silence: float = 60.0
    """Before that, nobody is silent, however busy it was (ES-41)."""
    look: float = 1.0
    """Between two looks at all upstreams."""
    ask: float = 60.0
    """Between two tries to find out what an upstream is."""
    grace: float = 30.0
    """How much later than another an upstream may bring a commit."""
    blind: float = 180.0
    """For how long an upstream must have brought nothing of what others brought."""
    aside: float = 300.0
    """For how long a blind one is left alone."""
    small_gap: float = 600.0
    """How often, at most, small holes in a stream are asked about: what is found in between, at the end of it."""
    large_gap: float = 60.0
    """The same of large ones."""


PATIENCE = Patience()
