"""What is fuzzed: one module for each target, holding its TARGET."""

NAMES = ("cbor", "json", "frame", "event", "car", "commit", "node", "tree", "key")


def module_of(name: str) -> str:
    """The dotted name of a target's module; a name with dots is one already."""
    return name if "." in name else f"tests.fuzz.targets.{name}_target"
