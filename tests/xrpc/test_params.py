from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexicons.catalog import Catalog
from lexicons.validate import Validator
from tests.xrpc.samples import DOCUMENTS, ECHO
from xrpc.errors import InvalidRequest
from xrpc.params import MAX_FIELDS, Parameters

CATALOG = Catalog(DOCUMENTS, strict=True)
VALIDATOR = Validator(CATALOG)
PARAMETERS = Parameters(ECHO, CATALOG.definition(ECHO), VALIDATOR)
URI = "at://did:web:a.test/fm.plyr.track/1"
QUOTED = quote(URI, safe="")


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("", {}),
        ("&&", {}),
        ("limit=1", {"limit": 1}),
        ("limit=100", {"limit": 100}),
        ("limit=007", {"limit": 7}),
        ("offset=-9223372036854775808", {"offset": -(1 << 63)}),
        ("offset=-0", {"offset": 0}),
        ("all=true", {"all": True}),
        ("all=false", {"all": False}),
        ("q=a+b%20c", {"q": "a b c"}),
        ("q=%F0%9F%8E%B5", {"q": "🎵"}),
        ("q=🎵", {"q": "🎵"}),
        ("q=a%26b%3D", {"q": "a&b="}),
        ("q=a;b", {"q": "a;b"}),
        ("q=100%", {"q": "100%"}),
        # Empty is absent, and what the lexicon does not know is not looked at.
        ("limit=", {}),
        ("limit", {}),
        ("limit=&limit=3", {"limit": 3}),
        ("uris=", {}),
        ("unknown=1&unknown=2&limit=3", {"limit": 3}),
        ("Limit=abc", {}),
        ("uri[]=x", {}),
        ("listType=album", {"listType": "album"}),
        ("list_type=album", {}),
        # Repeated keys are an array, and one alone is an array of one.
        (f"uris={QUOTED}", {"uris": [URI]}),
        (f"uris={QUOTED}&limit=2&uris={QUOTED}", {"uris": [URI, URI], "limit": 2}),
        ("numbers=1&numbers=0", {"numbers": [1, 0]}),
        ("flags=true&flags=false", {"flags": [True, False]}),
        (f"uri={URI}", {"uri": URI}),
        ("actor=alice.test", {"actor": "alice.test"}),
        ("actor=did:plc:abc", {"actor": "did:plc:abc"}),
        ("since=2026-01-01T00:00:00Z", {"since": "2026-01-01T00:00:00Z"}),
        ("sort=newest", {"sort": "newest"}),
    ],
)
def test_read(query: str, values: dict[str, Any]) -> None:
    assert PARAMETERS.parse(query.encode()) == values


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=0", "limit is less than 1."),
        ("limit=101", "limit is more than 100."),
        ("limit=-1", "limit is less than 1."),
        ("limit=1.0", "limit is not an integer."),
        ("limit=1e1", "limit is not an integer."),
        ("limit=%2B1", "limit is not an integer."),
        ("limit=+1", "limit is not an integer."),
        ("limit=1%0A", "limit is not an integer."),
        ("limit=0x10", "limit is not an integer."),
        ("limit=1_0", "limit is not an integer."),
        ("limit=٣", "limit is not an integer."),
        ("limit=true", "limit is not an integer."),
        ("limit=" + "9" * 100_000, "limit is not an integer."),
        ("offset=9223372036854775808", "offset does not fit in 64 bits."),
        ("limit=1&limit=1", "limit is given more than once."),
        ("all=1", "all is neither true nor false."),
        ("all=True", "all is neither true nor false."),
        ("all=yes", "all is neither true nor false."),
        ("all=true&all=true", "all is given more than once."),
        ("uri=at://x", "uri is not a valid at-uri."),
        (f"uri={QUOTED}%0A", "uri is not a valid at-uri."),
        ("uri=" + "at://did:web:a.test/fm.plyr.track/" + "a" * 100_000, "uri is not a valid at-uri."),
        ("actor=alice", "actor is not a valid at-identifier."),
        ("actor=@alice.test", "actor is not a valid at-identifier."),
        ("cid=Qm", "cid is not a valid cid."),
        ("since=2026-13-01T00:00:00Z", "since is not a valid datetime."),
        ("q=123456789", "q is 9 bytes of UTF-8, more than 8."),
        ("q=🎵🎵🎵", "q is 12 bytes of UTF-8, more than 8."),
        ("sort=oldest", "sort is none of the strings that are allowed."),
        (f"uris={QUOTED}&uris=x", "uris[1] is not a valid at-uri."),
        ("&".join([f"uris={QUOTED}"] * 4), "uris has 4 items, more than 3."),
        ("numbers=1&numbers=x", "numbers[1] is not an integer."),
        ("numbers=-1", "numbers[0] is less than 0."),
        ("flags=1", "flags[0] is neither true nor false."),
        ("q=%00", "A parameter holds a NUL, which no text in the index can."),
        ("unknown=%00", "A parameter holds a NUL, which no text in the index can."),
        ("q=%ff", "The query string is not UTF-8."),
        ("%ff=q", "The query string is not UTF-8."),
        ("q=%C0%AF", "The query string is not UTF-8."),
        ("q=%ED%A0%80", "The query string is not UTF-8."),
        ("&".join(["x=1"] * (MAX_FIELDS + 1)), "The query string has more than 1000 fields."),
    ],
)
def test_refused(query: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        PARAMETERS.parse(query.encode())
    assert (refused.value.status, refused.value.message) == (400, message)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="not UTF-8"):
        PARAMETERS.parse(b"q=\xff")


def test_what_is_required_is_missed() -> None:
    nsid = "fm.plyr.test.who"
    parameters = Parameters(nsid, CATALOG.definition(nsid), VALIDATOR)
    for query in (b"", b"actor=", b"Actor=alice.test"):
        with pytest.raises(InvalidRequest, match="actor is missing"):
            parameters.parse(query)


def test_a_method_without_parameters_takes_none() -> None:
    main = {"type": "query", "output": {"encoding": "application/json", "schema": {"type": "object"}}}
    catalog = Catalog([{"lexicon": 1, "id": "a.b.one", "defs": {"main": main}}], strict=True)
    assert Parameters("a.b.one", catalog.definition("a.b.one"), Validator(catalog)).parse(b"limit=x") == {}


@given(
    st.binary(max_size=200)
    | st.text(max_size=100).map(lambda text: f"q={text}&limit={text}".encode("utf-8", "replace"))
)
def test_any_bytes_are_values_or_refused(query: bytes) -> None:
    try:
        values = PARAMETERS.parse(query)
    except InvalidRequest:
        return
    assert VALIDATOR.violations(ECHO, values, "parameters") == []
