"""The commands of this room, one file each: `register(commands)` adds its parser, whose `run` answers the exit code."""

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import argparse

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001 - it has no other name


class CommandError(Exception):
    """A command cannot be carried out; the message is the one sentence that its user is told."""
