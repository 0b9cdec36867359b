from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appview.keys import PublicKey
from ingester.repo.car import read_car
from ingester.repo.commit import VERSION, Commit, is_node_link, parse_commit
from ingester.repo.errors import CommitError
from lexicons.data import CID, decode, encode
from tests.ingester.captured import ALL_OK, commits, signer
from tests.writer.keys import K256, P256, SigningKey

DATA = CID.of(b"tree")
FIELDS: dict[str, Any] = {
    "did": "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
    "rev": "3lbomqvqtzs2a",
    "data": DATA,
    "prev": None,
    "version": 3,
    "sig": bytes(range(64)),
}


def commit(**changes: Any) -> bytes:
    return encode({**FIELDS, **changes})


def without(*names: str, **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in {**FIELDS, **changes}.items() if name not in names}


def refused(block: bytes, reason: str = "bad_commit") -> None:
    with pytest.raises(CommitError) as caught:
        parse_commit(block)
    assert caught.value.reason == reason


def test_a_commit_is_its_fields_and_what_was_signed() -> None:
    parsed = parse_commit(commit())
    assert parsed == Commit(FIELDS["did"], FIELDS["rev"], DATA, None, FIELDS["sig"], encode(without("sig")))
    assert decode(parsed.unsigned)["prev"] is None
    assert VERSION == 3


def test_prev_may_be_a_link_but_not_absent() -> None:
    assert parse_commit(commit(prev=DATA)).prev == DATA
    refused(encode(without("prev")))
    others: list[Any] = [False, 0, "", b"", str(DATA), bytes(DATA), [], CID.of(b"", 0x55), CID(b"\x01\x55\x00\x00")]
    for prev in others:
        refused(commit(prev=prev))


@pytest.mark.parametrize("version", [None, 0, 1, 2, 4, -3, True, "3", [3]])
def test_only_version_three_is_known(version: Any) -> None:
    refused(commit(version=version), "commit_version")


def test_a_commit_says_its_version() -> None:
    refused(encode(without("version")), "commit_version")


@pytest.mark.parametrize(
    "changes",
    [
        {"did": None},
        {"did": ""},
        {"did": "did:plc:"},
        {"did": "ewvi7nxzyoun6zhxrhs64oiz"},
        {"did": "did:plc:ewvi7nxzyoun6zhxrhs64oiz\n"},
        {"did": "did:plc:" + "a" * 3_000},
        {"did": b"did:plc:ewvi7nxzyoun6zhxrhs64oiz"},
        {"rev": None},
        {"rev": ""},
        {"rev": 5},
        {"rev": "3lbomqvqtzs2"},
        {"rev": "3lbomqvqtzs2a\n"},
        {"rev": "zlbomqvqtzs2a"},
        {"rev": "3LBOMQVQTZS2A"},
        {"data": None},
        {"data": bytes(DATA)},
        {"data": str(DATA)},
        {"data": CID.of(b"tree", 0x55)},
        {"data": CID(b"\x01\x71\x13\x40" + bytes(64))},
        {"sig": None},
        {"sig": "x" * 64},
        {"sig": list(range(64))},
        {"sig": DATA},
    ],
    ids=repr,
)
def test_a_field_of_another_kind_is_refused(changes: dict[str, Any]) -> None:
    refused(commit(**changes))


@pytest.mark.parametrize("name", ["did", "rev", "data", "sig"])
def test_a_field_that_is_missing_is_refused(name: str) -> None:
    refused(encode(without(name)))


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\xf6",
        b"\x80",
        encode([FIELDS]),
        commit() + b"\0",
        commit()[:-1],
        b"\xbf" + commit()[1:] + b"\xff",
        b"\xb8\x06" + commit()[1:],
        commit().replace(b"gversion\x03", b"gversion\xf9\x42\x00"),
        commit().replace(b"gversion\x03", b"gversion\x18\x03"),
    ],
    ids=repr,
)
def test_a_commit_that_is_not_canonical_is_refused(block: bytes) -> None:
    assert block != commit()
    refused(block)


def test_a_commit_cut_off_anywhere_is_refused() -> None:
    for cut in range(len(commit())):
        refused(commit()[:cut])


@pytest.mark.parametrize(
    "extra",
    [
        {"x": 1},
        {"aaa": {"deep": [DATA, b"", None]}},
        {"rzz": b"between rev and sig"},
        {"zzz": b"csigX@" + FIELDS["sig"]},
        {"aaa": b"csigX@" + FIELDS["sig"]},
        {"aaa": b"csigX@" + FIELDS["sig"], "zzz": b"csigX@" + FIELDS["sig"]},
        {"rzz": b"csigX@" + bytes(64)},
        {"rzz": {"sig": FIELDS["sig"]}},
        {"deep": {"deep": {"sig": FIELDS["sig"]}}},
        {f"field{n:02}": n for n in range(17)},
        {f"field{n:02}": n for n in range(18)},
        {f"field{n:02}": n for n in range(19)},
        {f"field{n:03}": n for n in range(300)},
    ],
    ids=lambda extra: repr(extra)[:60],
)
@pytest.mark.parametrize("sig", [bytes(range(64)), bytes(63), bytes(65), b"", bytes(300)], ids=len)
def test_unknown_fields_are_under_the_signature_too(extra: dict[str, Any], sig: bytes) -> None:
    assert parse_commit(commit(sig=sig, **extra)).unsigned == encode(without("sig", **extra))


@pytest.mark.parametrize("overlap", range(1, 7))
def test_a_signature_that_seems_to_stand_twice_cannot_mislead(overlap: int) -> None:
    # The field before `sig` ends as `sig` begins, so that a search for the bytes of `sig` finds them too early.
    label = b"csigX@"
    sig = bytes(64 - overlap) + label[:overlap]
    extra = {"rzz": (label + sig)[: 70 - overlap]}
    assert parse_commit(commit(sig=sig, **extra)).unsigned == encode(without("sig", **extra))


@pytest.mark.parametrize("curve", [P256, K256], ids=["P-256", "K-256"])
def test_what_was_signed_verifies(curve: Any) -> None:
    key = SigningKey.from_seed("commit", curve)
    for extra in ({}, {"unknown": [1, {"x": DATA}]}, {"prev": DATA}):
        unsigned = encode(without("sig", **extra))
        parsed = parse_commit(commit(sig=key.sign(unsigned), **extra))
        public = PublicKey.from_multikey(key.multikey)
        assert public.check(parsed.unsigned, parsed.sig) == "ok"
        parsed = parse_commit(commit(sig=key.sign_high_s(unsigned), **extra))
        assert public.check(parsed.unsigned, parsed.sig) == "high_s_signature"
        parsed = parse_commit(commit(sig=key.sign_der(unsigned), **extra))
        assert public.check(parsed.unsigned, parsed.sig) == "bad_signature"


@pytest.mark.parametrize("name", ALL_OK)
def test_captured_commits_are_parsed_and_signed(name: str) -> None:
    for event in commits(name)[:60]:
        block = read_car(event.blocks, max_blocks=1_000).blocks[event.commit]
        parsed = parse_commit(block)
        fields = decode(block)
        assert (parsed.did, parsed.rev, parsed.data) == (event.did, event.rev, fields["data"])
        del fields["sig"]
        assert parsed.unsigned == encode(fields)
        key = signer(name, event).key
        assert key is not None
        assert key.check(parsed.unsigned, parsed.sig) == "ok"


def test_what_links_to_a_node() -> None:
    assert is_node_link(DATA)
    for other in (
        bytes(DATA),
        CID.of(b"", 0x55),
        CID(b"\x01\x55\x00\x00"),
        CID(b"\x01\x71\x13\x20" + bytes(32)),
        None,
        1,
    ):
        assert not is_node_link(other)


json_like = st.recursive(
    st.none() | st.integers(-5, 5) | st.binary(max_size=5) | st.sampled_from([DATA, FIELDS["did"], FIELDS["rev"], "x"]),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.sampled_from([*FIELDS, "x"]), json_like), st.booleans())
def test_any_map_is_a_commit_or_a_commit_error(fields: dict[str, Any], complete: bool) -> None:
    merged = {**FIELDS, **fields} if complete else fields
    try:
        parsed = parse_commit(encode(merged))
    except CommitError:
        return
    assert parsed.unsigned == encode({name: value for name, value in merged.items() if name != "sig"})


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=50))
def test_random_bytes_are_a_commit_error(block: bytes) -> None:
    with pytest.raises(CommitError):
        parse_commit(block)
