"""What a mutant is, and whether it still fits the source."""

from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[2]


class Stale(Exception):
    """The text that a mutant changes does not stand in its file, or stands there more than once."""


class Mutant(NamedTuple):
    """A rule bent: in `file`, the text `old`, which occurs once, becomes `new`, and one of `tests` must fail.

    `name` says what is wrong then. `tests` are as pytest takes them: files, or single tests.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def applied(self, root: Path) -> str:
        """The file's text with the rule bent. Raises Stale."""
        text = (root / self.file).read_text()
        if text.count(self.old) != 1:
            raise Stale(f"{self.file} has {text.count(self.old)} times: {self.old.strip()}")
        return text.replace(self.old, self.new)
