"""What both kinds of fuzzing child share: their orders, their folder, and the line by which they hang."""

import json
import os
import sys
import threading
from dataclasses import asdict, dataclass
from hashlib import sha1
from pathlib import Path

from tests.fuzz.target import Target


@dataclass(frozen=True, slots=True)
class Orders:
    """What a child is to do; goes to it as JSON, its only argument."""

    module: str
    folder: str
    seconds: int
    seed: int
    timeout: int
    """Seconds that one input may take."""
    memory_mb: int
    """Resident memory that the child may use."""

    def as_argument(self) -> str:
        """The argument that `received` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def received(cls) -> "Orders":
        """This process's orders."""
        return cls(**json.loads(sys.argv[1]))

    @property
    def corpus(self) -> Path:
        """Inputs found worth keeping, from this run and all before."""
        return Path(self.folder) / "corpus"

    @property
    def seeds(self) -> Path:
        """Inputs to start from."""
        return Path(self.folder) / "seeds"

    @property
    def crashes(self) -> Path:
        """Reproducers of all that was ever found; each is tried again before anything else."""
        return Path(self.folder) / "crashes"

    def prepare(self, target: Target) -> None:
        """Make the folders and put the seeds in."""
        for folder in (self.corpus, self.seeds, self.crashes):
            folder.mkdir(parents=True, exist_ok=True)
        for seed in target.seeds():
            (self.seeds / digest(seed)).write_bytes(seed)


def digest(data: bytes) -> str:
    """The name of an input, as libFuzzer gives it."""
    return sha1(data, usedforsecurity=False).hexdigest()


def die_with_parent() -> None:
    """End this process once its stdin does: whatever becomes of the parent, no child is left."""

    def wait() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
