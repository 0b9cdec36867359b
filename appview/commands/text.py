"""What strangers wrote, on a terminal."""


def printable(line: str) -> str:
    """`line` without what a terminal would obey: some of it is in the words of other servers."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in line)
