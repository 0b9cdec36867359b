"""DRISL, the strict DAG-CBOR of the AT Protocol, both ways (RD-20 to RD-24).

The decoder takes exactly one encoding of each value, so `encode(decode(block)) == block` for all that it accepts. It
checks every length against what is left before it allocates, and its recursion is bounded.
"""

import struct
from typing import Any, NoReturn

from lexicons.cid import CID, DataError, checked_cid

MAX_NESTING = 32
"""Containers within containers (protocol.md 3.2)."""
MAX_ENTRIES = 131_072
"""Entries of all maps and arrays of a value together, so that its cost is bounded by more than its bytes."""
MAX_KEY_BYTES = 8_192
MAX_INT = 2**63 - 1
MIN_INT = -(2**63)

_SIMPLE = {0xF4: False, 0xF5: True, 0xF6: None}


def decode(block: bytes, *, max_nesting: int = MAX_NESTING) -> Any:
    """The one value that `block` encodes. Raises DataError for anything but its canonical form."""
    value, end = decode_at(block, 0, max_nesting=max_nesting)
    if end != len(block):
        raise DataError(f"{len(block) - end} bytes follow the value")
    return value


def decode_at(block: bytes, at: int, *, max_nesting: int = MAX_NESTING) -> tuple[Any, int]:
    """The value that starts at offset `at`, and the offset behind it. Raises DataError as `decode` does."""
    try:
        return _value(block, at, max_nesting, [MAX_ENTRIES])
    except (IndexError, struct.error):
        raise DataError("the value is cut off") from None
    except UnicodeDecodeError:
        raise DataError("a text is not UTF-8") from None


def _value(block: bytes, at: int, room: int, budget: list[int]) -> tuple[Any, int]:
    head = block[at]
    at += 1
    major, n = head >> 5, head & 0x1F
    if major == 7:
        if head not in _SIMPLE:
            raise DataError("a float, an undefined or another simple value stands where the data model has none")
        return _SIMPLE[head], at
    if n > 23:
        n, at = _argument(block, at, n)
    if 2 <= major <= 3:
        end = at + n
        if end > len(block):
            raise DataError("a text or a byte string is longer than what is left")
        raw = block[at:end]
        return (raw.decode() if major == 3 else raw), end
    if major == 5:
        return _map(block, at, n, room, budget)
    if major == 4:
        return _array(block, at, n, room, budget)
    if major == 6:
        if n != 42:
            raise DataError(f"tag {n} is not of the data model, which has 42 only")
        return _link(block, at)
    if n > MAX_INT:
        raise DataError("an integer does not fit in 64 bits with a sign")
    return (n if major == 0 else -1 - n), at


def _argument(block: bytes, at: int, kind: int) -> tuple[int, int]:
    if kind == 24:
        n = block[at]
        at, least = at + 1, 24
    elif kind == 25:
        n = block[at] << 8 | block[at + 1]
        at, least = at + 2, 0x100
    elif kind == 26:
        (n,) = struct.unpack_from(">I", block, at)
        at, least = at + 4, 0x10000
    elif kind == 27:
        (n,) = struct.unpack_from(">Q", block, at)
        at, least = at + 8, 0x100000000
    else:
        raise DataError("a length is indefinite or of a reserved kind")
    if n < least:
        raise DataError("an integer or a length is not in its shortest form")
    return n, at


def _map(block: bytes, at: int, n: int, room: int, budget: list[int]) -> tuple[dict[str, Any], int]:
    if room <= 0:
        raise DataError("values are nested too deeply")
    budget[0] -= n
    if budget[0] < 0 or 2 * n > len(block) - at:
        raise DataError("a map says it is longer than what is left or allowed")
    found: dict[str, Any] = {}
    last = b""
    for _ in range(n):
        head = block[at]
        at += 1
        length = head & 0x1F
        if head >> 5 != 3:
            raise DataError("a map key is not a text")
        if length > 23:
            length, at = _argument(block, at, length)
        if length > MAX_KEY_BYTES:
            raise DataError(f"a map key of {length} bytes is longer than {MAX_KEY_BYTES}")
        end = at + length
        key = block[at:end]
        if length <= len(last) and (length < len(last) or key <= last):
            _refuse_key(key)
        if len(key) != length:
            raise DataError("a map key is longer than what is left")
        last = key
        head = block[end]
        if 0x60 <= head < 0x78:
            at = end + 1 + head - 0x60
            text = block[end + 1 : at]
            if len(text) != head - 0x60:
                raise DataError("a text is longer than what is left")
            found[key.decode()] = text.decode()
        else:
            found[key.decode()], at = _value(block, end, room - 1, budget)
    return found, at


def _refuse_key(key: bytes) -> NoReturn:
    if not key:
        raise DataError("a map key is empty")
    raise DataError("map keys are not sorted, or one stands twice")


def _array(block: bytes, at: int, n: int, room: int, budget: list[int]) -> tuple[list[Any], int]:
    if room <= 0:
        raise DataError("values are nested too deeply")
    budget[0] -= n
    if budget[0] < 0 or n > len(block) - at:
        raise DataError("an array says it is longer than what is left or allowed")
    found = []
    for _ in range(n):
        value, at = _value(block, at, room - 1, budget)
        found.append(value)
    return found, at


def _link(block: bytes, at: int) -> tuple[CID, int]:
    if block[at : at + 3] == b"\x58\x25\x00" and len(block) >= at + 39:
        end = at + 39
        raw = block[at + 3 : end]
    else:
        head = block[at]
        length = head & 0x1F
        at += 1
        if head >> 5 != 2:
            raise DataError("a link does not hold a byte string")
        if length > 23:
            length, at = _argument(block, at, length)
        end = at + length
        if not length or end > len(block) or block[at] != 0:
            raise DataError("a link does not hold a binary CID behind a zero byte")
        raw = block[at + 1 : end]
    return checked_cid(raw), end


# --- out ---


def encode(value: Any) -> bytes:
    """The canonical DRISL encoding of `value`. Raises DataError for what the data model does not hold."""
    parts: list[bytes] = []
    _write(value, parts.append, MAX_NESTING)
    return b"".join(parts)


def head(major: int, n: int) -> bytes:
    """The shortest CBOR head of major type `major` (0 to 7) with argument `n`."""
    if n < 24:
        return bytes((major << 5 | n,))
    if n < 0x100:
        return bytes((major << 5 | 24, n))
    if n < 0x10000:
        return struct.pack(">BH", major << 5 | 25, n)
    if n < 0x100000000:
        return struct.pack(">BI", major << 5 | 26, n)
    return struct.pack(">BQ", major << 5 | 27, n)


def _write(value: Any, put: Any, room: int) -> None:
    kind = type(value)
    if kind is str:
        raw = _utf8(value)
        put(head(3, len(raw)))
        put(raw)
    elif value is None:
        put(b"\xf6")
    elif kind is bool:
        put(b"\xf5" if value else b"\xf4")
    elif kind is int:
        if not MIN_INT <= value <= MAX_INT:
            raise DataError("an integer does not fit in 64 bits with a sign")
        put(head(0, value) if value >= 0 else head(1, -1 - value))
    elif kind is CID:
        put(b"\xd8\x2a" + head(2, len(value) + 1) + b"\x00")
        put(value)
    elif kind is bytes:
        put(head(2, len(value)))
        put(value)
    elif kind is dict or kind is list:
        if room <= 0:
            raise DataError("values are nested too deeply")
        if len(value) > MAX_ENTRIES:
            raise DataError("a map or an array is longer than allowed")
        if kind is list:
            put(head(4, len(value)))
            for item in value:
                _write(item, put, room - 1)
        else:
            _write_map(value, put, room)
    else:
        raise DataError(f"a {kind.__name__} is not of the data model")


def _write_map(value: dict[Any, Any], put: Any, room: int) -> None:
    put(head(5, len(value)))
    # Keys are unique and so are their encodings: the sort never comes to compare two items.
    entries = sorted((len(raw := _utf8(key)), raw, item) for key, item in value.items())
    for length, raw, item in entries:
        if not 0 < length <= MAX_KEY_BYTES:
            raise DataError(f"a map key of {length} bytes is empty or longer than {MAX_KEY_BYTES}")
        put(head(3, length))
        put(raw)
        _write(item, put, room - 1)


def _utf8(text: Any) -> bytes:
    if type(text) is not str:
        raise DataError("a map key is not a text")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise DataError("a text holds a lone surrogate") from None
