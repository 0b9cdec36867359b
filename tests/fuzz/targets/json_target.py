"""Records as JSON: what is accepted survives the way to JSON and back, and to DRISL and back."""

import json
import random

from lexicons.data import DataError, decode, encode, from_json, parse_json, to_json
from tests.fuzz.target import Havoc, Target, require

_CID = '"bafyreie5737gdxlw5i64vzichcalba3z2v5n6icifvx5xytvske7mr3hpm"'
_SEEDS = (
    *("null", "true", "0", "-1", "123.0", "1e3", "0.5", "9223372036854775807", "9223372036854775808", "[]", "{}", '""'),
    *('{"$link":' + _CID + "}", '{"$bytes":"AAEC"}', '{"$bytes":"A"}', '{"$link":1}', '{"a":1,"a":2}', "NaN", "1e400"),
    '{"$type":"blob","ref":{"$link":' + _CID + '},"mimeType":"audio/mpeg","size":12}',
    '{"$type":"fm.plyr.track","title":"\\u00e9\\ud83d\\ude00 \xe9","tags":["a","b"],"n":{"x":[1,[2,[3,null]]]}}',
    '"\\ud800"',
)
TOKENS = tuple(
    token.encode()
    for token in (
        '{"$link":',
        '{"$bytes":"',
        _CID,
        '"$type":"blob"',
        "\\ud800",
        "\\u0000",
        "1e9",
        "-0",
        ".0",
        "NaN",
        "[",
    )
)


def check(data: bytes) -> bool:
    """`parse_json` raises DataError only; an accepted value comes back from its own JSON and its own DRISL."""
    try:
        value = parse_json(data)
    except DataError:
        return False
    require(from_json(json.loads(json.dumps(to_json(value)))) == value, "a value does not come back from its JSON")
    # Nothing of this length has keys or entries beyond what DRISL allows.
    require(decode(encode(value)) == value, "a value does not come back from its DRISL")
    return True


def mutate(data: bytes, rng: random.Random, havoc: Havoc) -> bytes:
    """Blind, but that now and then one character is repeated far beyond any limit: digits, brackets, escapes."""
    if not data or rng.random() < 0.95:
        return havoc(data, len(data) + 300)
    at = rng.randrange(len(data))
    return data[:at] + data[at : at + 1] * rng.choice((40, 2_000, 5_000)) + data[at:]


TARGET = Target(check, lambda: (text.encode() for text in _SEEDS), mutate, TOKENS, max_len=6_000)
