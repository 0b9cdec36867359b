"""What a fuzz target is: a check over any bytes, where to start from, how to change an input without spoiling it."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol, TypeAlias

Havoc: TypeAlias = Callable[[bytes, int], bytes]
"""Blind mutation: libFuzzer's own, or `mutation.havoc`. Takes the bytes and the most there may be afterwards."""


class Mutator(Protocol):
    """A mutation that knows the format; what it changes within a leaf of it, it may leave to `havoc`."""

    def __call__(self, data: bytes, rng: random.Random, havoc: Havoc) -> bytes: ...


class Violation(AssertionError):
    """The code under test broke its word; the message says which."""


@dataclass(frozen=True, slots=True)
class Target:
    """One thing to fuzz.

    `check` takes any bytes, says whether the code under test accepted them, and raises for a defect: `Violation`, or
    whatever the code itself raises against its contract.
    """

    check: Callable[[bytes], bool]
    seeds: Callable[[], Iterable[bytes]]
    mutate: Mutator | None = None
    tokens: tuple[bytes, ...] = ()
    max_len: int = 4_096


def require(held: bool, sentence: str) -> None:
    """Raise Violation unless `held`."""
    if not held:
        raise Violation(sentence)


def load(module: str) -> Target:
    """The TARGET of the module with this dotted name."""
    target = import_module(module).TARGET
    if not isinstance(target, Target):
        raise TypeError(f"{module} holds no target.")
    return target
