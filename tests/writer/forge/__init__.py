"""Tables of frames with one flaw each, and of odd frames with none.

`FORGERIES[name]` and `GENUINE[name]` are rows `(description, build, reasons, verdict)`; `build(random.Random(n))` makes
a `Forgery(frame, did, multikey, prior, now_us)` with its `.document`. `removals` leaves nodes out of a genuine commit.
"""

from tests.writer.forge import cars, commits, envelope, frames, genuine, nodes, proofs, syncs, trees  # noqa: F401 - each fills its rows
from tests.writer.forge.proofs import Removal, removals
from tests.writer.forge.scene import FORGERIES, GENUINE, Entry, Forgery, Scene

__all__ = ["FORGERIES", "GENUINE", "Entry", "Forgery", "Removal", "Scene", "removals"]
