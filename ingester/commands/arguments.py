"""What the commands take as arguments."""

import argparse

from lexicons.formats import is_did, is_nsid


def did(text: str) -> str:
    """A DID."""
    if not is_did(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a DID")
    return text


def nsid(text: str) -> str:
    """An NSID."""
    if not is_nsid(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not an NSID")
    return text


def count(text: str) -> int:
    """A number from 1 on."""
    if not text.isascii() or not text.isdigit() or len(text) > 18 or not int(text):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number from 1 on")
    return int(text)
