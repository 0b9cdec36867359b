"""The protocol's string syntax: one predicate per lexicon string format, and the few parsers that go with them.

Every pattern is ASCII by its classes and applied with `fullmatch`, so neither Unicode digits nor a trailing newline
pass, and the `len` of what matched counts bytes.
"""

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

# A label ends where its characters end, so nothing is lost by not going back (`+` after the count), and time is won.
_LABEL = r"[a-zA-Z0-9][a-zA-Z0-9-]{0,62}+(?<!-)"
_ALPHA_LABEL = r"[a-zA-Z][a-zA-Z0-9-]{0,62}+(?<!-)"
_DID = r"did:[a-z]+:[a-zA-Z0-9._:%-]*[a-zA-Z0-9._-]"
_HANDLE = rf"(?:{_LABEL}\.)+{_ALPHA_LABEL}"
_NSID = rf"{_ALPHA_LABEL}(?:\.{_LABEL})+\.[a-zA-Z][a-zA-Z0-9]{{0,62}}"
_RECORD_KEY = r"(?!\.\.?\Z)[a-zA-Z0-9_~.:-]{1,512}"

_match_did = re.compile(_DID).fullmatch
_match_handle = re.compile(_HANDLE).fullmatch
_match_nsid = re.compile(_NSID).fullmatch
_match_record_key = re.compile(_RECORD_KEY).fullmatch
_match_tid = re.compile(r"[2-7a-j][2-7a-z]{12}").fullmatch
_match_at_uri = re.compile(rf"at://({_DID}|{_HANDLE})(?:/({_NSID})(?:/({_RECORD_KEY}))?)?").fullmatch
# CIDv0 (`Qm…`) is refused (RD-13); everything else is left to whoever decodes the CID.
_match_cid = re.compile(r"(?!Qm)[a-zA-Z0-9+=]{8,256}").fullmatch
_match_uri = re.compile(r"[a-z][a-z.-]{0,80}:[!-~]+").fullmatch
_match_datetime = re.compile(
    r"[0-9]{4}-(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31|02-29)"
    r"T(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]{1,20})?"
    r"(?:Z|(?:\+|-(?!00:00))(?:[01][0-9]|2[0-3]):[0-5][0-9])"
).fullmatch
_match_language = re.compile(
    r"[a-z]{2,3}(?:-[A-Za-z]{3}){0,3}"
    r"(?:-[A-Za-z]{4})?"
    r"(?:-(?:[A-Za-z]{2}|[0-9]{3}))?"
    r"(?P<variants>(?:-(?:[A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3}))*)"
    r"(?P<extensions>(?:-[0-9A-WYZa-wyz](?:-[A-Za-z0-9]{2,8})+)*)"
    r"(?:-[xX](?:-[A-Za-z0-9]{1,8})+)?"
).fullmatch
_match_private_language = re.compile(r"[xX](?:-[A-Za-z0-9]{1,8})+").fullmatch

# The tags of RFC 5646 that its own grammar does not produce.
_match_irregular_language = re.compile(
    r"en-GB-oed|i-(?:ami|bnn|default|enochian|hak|klingon|lux|mingo|navajo|pwn|tao|tay|tsu)|sgn-(?:BE-FR|BE-NL|CH-DE)"
).fullmatch

_MAX_DID: Final = 2048
_MAX_HANDLE: Final = 253
_MAX_NSID: Final = 317
_MAX_URI: Final = 8192

_TID_DIGITS: Final = "234567abcdefghijklmnopqrstuvwxyz"
_TID_TO_BASE32: Final = str.maketrans(_TID_DIGITS, "0123456789abcdefghijklmnopqrstuv")


class AtUri(NamedTuple):
    """The parts of an AT-URI: a repo, a collection of it, or one record."""

    authority: str
    collection: str | None
    rkey: str | None


def is_did(s: str) -> bool:
    """Whether `s` is a DID of any method; `%xx` need not be valid, upper and lower case differ."""
    return len(s) <= _MAX_DID and _match_did(s) is not None


def is_handle(s: str) -> bool:
    """Whether `s` has the syntax of a handle, in any case; reserved and invalid ones (`handle.invalid`) included."""
    return len(s) <= _MAX_HANDLE and _match_handle(s) is not None


def is_at_identifier(s: str) -> bool:
    """Whether `s` is a DID or a handle."""
    return is_did(s) if s.startswith("did:") else is_handle(s)


def is_nsid(s: str) -> bool:
    """Whether `s` is an NSID, without a fragment.

    Only the whole length is bounded: the interop fixtures hold an NSID whose authority is longer than a domain may be.
    """
    return len(s) <= _MAX_NSID and _match_nsid(s) is not None


def is_tid(s: str) -> bool:
    """Whether `s` is a timestamp identifier."""
    return _match_tid(s) is not None


def is_record_key(s: str) -> bool:
    """Whether `s` may be the key of a record."""
    return _match_record_key(s) is not None


def is_at_uri(s: str) -> bool:
    """Whether `s` is an AT-URI of the restricted form: no query, fragment or trailing slash."""
    return _split_at_uri(s) is not None


def is_cid(s: str) -> bool:
    """Whether `s` looks like a CID string; whether it decodes is not asked here (`data.CID.parse` does)."""
    return _match_cid(s) is not None


def is_uri(s: str) -> bool:
    """Whether `s` is a scheme and something after it, of at most 8 KiB of visible ASCII."""
    return len(s) <= _MAX_URI and _match_uri(s) is not None


def is_datetime(s: str) -> bool:
    """Whether `s` is a datetime in syntax and in sense (DM-21): a real day, a zone, nothing before the year 0.

    A leap second passes in any minute, as does the year 0, which `datetime.datetime` cannot hold (DM-22).
    """
    if _match_datetime(s) is None:
        return False
    if s[5:10] == "02-29" and not _is_leap(int(s[:4])):
        return False
    return not (s[0] == "0" and s.startswith("0000-01-01") and s[-6] == "+" and s[11:16] < s[-5:])


def is_language(s: str) -> bool:
    """Whether `s` is a BCP 47 tag: a primary subtag of 2-3 lowercase letters, no variant or singleton twice."""
    tag = _match_language(s)
    if tag is None:
        return _match_irregular_language(s) is not None or _match_private_language(s) is not None
    variants = tag["variants"].lower().split("-")
    singletons = [subtag for subtag in tag["extensions"].lower().split("-") if len(subtag) == 1]
    return len(set(variants)) == len(variants) and len(set(singletons)) == len(singletons)


FORMATS: Final[Mapping[str, Callable[[str], bool]]] = {
    "at-identifier": is_at_identifier,
    "at-uri": is_at_uri,
    "cid": is_cid,
    "datetime": is_datetime,
    "did": is_did,
    "handle": is_handle,
    "language": is_language,
    "nsid": is_nsid,
    "record-key": is_record_key,
    "tid": is_tid,
    "uri": is_uri,
}


def parse_at_uri(s: str) -> AtUri:
    """The parts of an AT-URI; ValueError when it is none."""
    parts = _split_at_uri(s)
    if parts is None:
        raise ValueError(f"{s[:100]!r} is not an AT-URI.")
    return AtUri._make(parts.groups())


def tid_time_us(tid: str) -> int:
    """The time a TID claims, in microseconds since the epoch; `tid` must satisfy `is_tid`.

    The syntax lets the top bit through that should be 0 (DM-25); it is kept, so that such a TID lies centuries ahead
    and never passes for an old one.
    """
    return int(tid.translate(_TID_TO_BASE32), 32) >> 10


def tid_from_time_us(time_us: int, clock_id: int) -> str:
    """The TID of a time (microseconds since the epoch, 53 bits) and a clock id (10 bits); ValueError outside these."""
    if not (0 <= time_us < 1 << 53 and 0 <= clock_id < 1 << 10):
        raise ValueError("A TID holds 53 bits of microseconds and 10 bits of clock id.")
    value = time_us << 10 | clock_id
    return "".join(_TID_DIGITS[value >> shift & 31] for shift in range(60, -5, -5))


def _split_at_uri(s: str) -> re.Match[str] | None:
    if len(s) > _MAX_URI:
        return None
    parts = _match_at_uri(s)
    # No part of a short URI can be over its own limit, and nearly all are short.
    if parts is None or len(s) <= _MAX_HANDLE:
        return parts
    return parts if is_at_identifier(parts[1]) and len(parts[2] or "") <= _MAX_NSID else None


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
