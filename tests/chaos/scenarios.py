"""All scenarios, in the order in which they are played."""

from tests.chaos import accounts, attacks, losses, outages, processes  # noqa: F401 - each adds its own
from tests.chaos.registry import SCENARIOS, Scenario

__all__ = ["SCENARIOS", "Scenario"]
