"""What is published of our lexicons, and who vouches for it."""

import pytest

from lexicons.catalog import NAMESPACE, Catalog, shipped
from lexicons.data import CID, encode, from_json
from lexicons.publication import COLLECTION, authorities, cid, full_access, records

CATALOG = shipped()


def test_every_document_of_ours_is_a_record_under_its_name() -> None:
    made = records(CATALOG, NAMESPACE)
    ours = {nsid for nsid in CATALOG.documents if nsid.startswith("fm.plyr.")}
    assert made.keys() == ours | {"fm.plyr.authFullApp"}
    assert list(made) == sorted(made)
    for nsid, record in made.items():
        assert (record["$type"], record["lexicon"], record["id"]) == (COLLECTION, 1, nsid)
        assert nsid == "fm.plyr.authFullApp" or record == {"$type": COLLECTION, **CATALOG.documents[nsid]}
    # What is published can be read back by anyone who knows the language.
    others = [document for nsid, document in CATALOG.documents.items() if nsid not in ours]
    Catalog([*made.values(), *others], strict=True)


def test_the_permission_set_has_all_that_an_app_does_and_no_more() -> None:
    set_ = full_access(CATALOG, NAMESPACE)
    assert set_["id"] == "fm.plyr.authFullApp"
    assert set_["defs"]["main"]["type"] == "permission-set"
    write, ask = set_["defs"]["main"]["permissions"]
    assert write["resource"] == "repo"
    assert write["collection"] == [
        "fm.plyr.actor.profile",
        "fm.plyr.comment",
        "fm.plyr.feed.generator",
        "fm.plyr.like",
        "fm.plyr.list",
        "fm.plyr.track",
    ]
    assert write["action"] == ["create", "update", "delete"]
    assert (ask["resource"], ask["inheritAud"]) == ("rpc", True)
    assert "aud" not in ask
    assert {"fm.plyr.feed.getFeed", "fm.plyr.feed.likeTrack", "fm.plyr.server.putPreferences"} <= set(ask["lxm"])
    named = [*write["collection"], *ask["lxm"]]
    # A set may name what is in its own group or below it, and nothing else (OA-42).
    assert all(nsid.startswith("fm.plyr.") and "*" not in nsid for nsid in named)
    assert all(CATALOG.definition(nsid)["type"] in {"record", "query", "procedure"} for nsid in named)


@pytest.mark.parametrize("namespace", ["fm.plyr", "org.example.music"])
def test_one_domain_name_for_each_group(namespace: str) -> None:
    made = records(shipped(namespace), namespace)
    assert all(nsid.startswith(f"{namespace}.") for nsid in made)
    root = ".".join(reversed(namespace.split(".")))
    names = authorities(made)
    assert f"_lexicon.{root}" in names
    assert f"_lexicon.actor.{root}" in names
    assert len(names) == len({nsid.rpartition(".")[0] for nsid in made})


def test_the_cid_is_that_of_the_record() -> None:
    record = records(CATALOG, NAMESPACE)["fm.plyr.track"]
    assert cid(record) == str(CID.of(encode(from_json(record))))
    assert cid({**record, "x": 1}) != cid(record)
