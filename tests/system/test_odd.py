"""The verdicts written beside the odd records are those of our judge, and of the oracle's."""

import pytest

from appview.index.tolerance import Judge
from tests.system.judgement import SIGNAL, is_shown
from tests.system.odd import GHOST, Odd, data, elsewhere, odd_records
from tests.writer.cbor import decode, encode

SONG = {"uri": "at://did:plc:vs3hnzq2daqbszxlysywzy54/fm.plyr.track/3lmusica22222", "cid": GHOST["cid"]}
LIST = {"uri": "at://did:plc:vs3hnzq2daqbszxlysywzy54/fm.plyr.list/3lmusica22222", "cid": GHOST["cid"]}
BLOB = {
    "$type": "blob",
    "ref": {"$link": "bafkreifnvhfnyy7p3ara2gdyv6krztsd26luv2mi45j7hw3sreq7xjpd24"},
    "mimeType": "audio/mpeg",
    "size": 1_000,
}
ODD = list(odd_records(SONG, LIST, BLOB))
TID = "3lmusicz22222"


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge("fm.plyr")


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: f"{odd.collection} {odd.name}")
def test_verdicts_agree(judge: Judge, odd: Odd) -> None:
    block = encode({"$type": odd.collection} | data(odd.value))
    judgement = judge.judge(odd.collection, odd.rkey or TID, block)
    assert (judgement.verdict, judgement.deviations) == (odd.verdict, judgement.deviations)
    assert is_shown(odd.collection, odd.rkey or TID, decode(block)) == (odd.verdict != "rejected")


def test_what_is_no_map_is_rejected(judge: Judge) -> None:
    for block in (encode([1]), encode("text"), b"\xff", b""):
        assert judge.judge("fm.plyr.track", TID, block).verdict == "rejected"
    assert not is_shown("fm.plyr.track", TID, [1])


def test_what_is_elsewhere_is_not_ours() -> None:
    assert not {odd.collection for odd in elsewhere(SONG)} & SIGNAL
    assert {odd.verdict for odd in ODD} == {"ok", "tolerated", "rejected"}
