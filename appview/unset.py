"""A value that was not given, where null means something else."""

from enum import Enum
from typing import Final


class Unset(Enum):
    """The type of UNSET alone."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET
"""Not given."""
