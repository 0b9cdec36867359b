"""The scenarios, by name, each an async function from an Arena to its Toll."""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeAlias

from tests.chaos.harness import Arena, Toll

Play: TypeAlias = Callable[[Arena], Awaitable[Toll]]


class Scenario(NamedTuple):
    """What goes wrong, and how it is played. `seconds` bound it, beside what the arena says of the life in it."""

    about: str
    play: Play
    seconds: float


SCENARIOS: Final[dict[str, Scenario]] = {}


def scenario(name: str, *, seconds: float = 180.0) -> Callable[[Play], Play]:
    """Decorates a scenario; its docstring says what it is about."""

    def register(play: Play) -> Play:
        if name in SCENARIOS:
            raise ValueError(f"There are two scenarios named {name}.")
        SCENARIOS[name] = Scenario((play.__doc__ or "").splitlines()[0], play, seconds)
        return play

    return register
