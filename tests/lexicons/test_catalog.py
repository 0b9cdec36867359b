import json
from pathlib import Path
from typing import Any

import pytest

import lexicons
from lexicons.catalog import Catalog, LexiconError, shipped
from lexicons.validate import Validator
from tests.shared import fixture

FOLDER = Path(lexicons.__file__).parent


def document(nsid: str, **defs: object) -> dict[str, Any]:
    return {"lexicon": 1, "id": nsid, "defs": defs}


def object_with(**fields: object) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


def write(folder: Path, path: str, content: object) -> None:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(content))


def test_what_is_shipped_is_complete() -> None:
    catalog = shipped()
    assert len(catalog.documents) == len(list(FOLDER.rglob("*.json")))
    assert {
        "fm.plyr.track",
        "fm.plyr.like",
        "fm.plyr.comment",
        "fm.plyr.list",
        "fm.plyr.actor.profile",
        "fm.plyr.feed.generator",
        "app.bsky.actor.profile",
        "app.bsky.graph.follow",
        "fm.teal.feed.play",
        "fm.teal.alpha.feed.play",
    } <= set(catalog.nsids("record"))
    assert set(catalog.nsids("subscription")) >= {"com.atproto.sync.subscribeRepos"}
    Validator(catalog)


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.json")), ids=lambda path: path.stem)
def test_each_document_stands_at_its_path(path: Path) -> None:
    assert json.loads(path.read_text())["id"] == ".".join(path.relative_to(FOLDER).with_suffix("").parts)


def test_each_record_of_ours_says_what_it_is_and_what_its_fields_are() -> None:
    catalog = shipped()
    for nsid in catalog.nsids("record"):
        definition = catalog.definition(nsid)
        assert definition["description"]
        if nsid.startswith("fm.plyr."):
            assert all("description" in field for field in definition["record"]["properties"].values())


def test_interop_catalog_loads_though_a_reference_leads_nowhere() -> None:
    folder = fixture("interop/lexicon/catalog")
    catalog = Catalog.load(folder, strict=False)
    assert len(catalog.documents) == 5
    with pytest.raises(LexiconError, match="does not stand at its path"):
        Catalog.load(folder, strict=True)


def test_names() -> None:
    catalog = Catalog(
        [
            document(
                "a.b.one",
                main=object_with(x={"type": "ref", "ref": "#item"}, y={"type": "ref", "ref": "#main"}),
                item=object_with(
                    z={"type": "array", "items": {"type": "union", "refs": ["a.b.one#main", "#item", "a.b.two"]}}
                ),
            ),
            document("a.b.two", main=object_with(type={"type": "string"}, ref={"type": "string"})),
        ],
        strict=True,
    )
    assert dict(catalog.items()).keys() == {"a.b.one", "a.b.one#item", "a.b.two"}
    assert catalog.definition("a.b.one#main") is catalog.definition("a.b.one")
    fields = catalog.definition("a.b.one")["properties"]
    assert (fields["x"]["ref"], fields["y"]["ref"]) == ("a.b.one#item", "a.b.one")
    union = catalog.definition("a.b.one#item")["properties"]["z"]["items"]
    assert union["refs"] == ["a.b.one", "a.b.one#item", "a.b.two"]
    assert catalog.documents["a.b.one"]["defs"]["main"]["properties"]["x"]["ref"] == "#item"
    assert catalog.get("a.b.three") is None
    with pytest.raises(LexiconError, match=r"No lexicon defines a\.b\.three"):
        catalog.definition("a.b.three")


@pytest.mark.parametrize(
    "field",
    [
        {"type": "ref", "ref": "a.b.two"},
        {"type": "ref", "ref": "a.b.one#two"},
        {"type": "array", "items": {"type": "union", "refs": ["a.b.two"]}},
    ],
)
def test_a_reference_to_nothing(field: dict[str, Any]) -> None:
    documents = [document("a.b.one", main=object_with(x=field))]
    Catalog(documents, strict=False)
    with pytest.raises(LexiconError, match="which no lexicon defines"):
        Catalog(documents, strict=True)


@pytest.mark.parametrize(
    ("field", "target"),
    [
        ({"type": "ref", "ref": "a.b.two"}, {"type": "token"}),
        ({"type": "ref", "ref": "a.b.two"}, {"type": "query"}),
        ({"type": "union", "refs": ["a.b.two"]}, {"type": "token"}),
        ({"type": "union", "refs": ["a.b.two"]}, {"type": "string"}),
    ],
)
def test_a_reference_to_what_cannot_be_referred_to(field: dict[str, Any], target: dict[str, Any]) -> None:
    with pytest.raises(LexiconError, match="refers to"):
        Catalog([document("a.b.one", main=object_with(x=field)), document("a.b.two", main=target)], strict=False)


def test_a_document_twice() -> None:
    with pytest.raises(LexiconError, match="defined twice"):
        Catalog([document("a.b.one", main=object_with())] * 2, strict=False)


def test_a_type_to_come_is_kept_and_walked_by(tmp_path: Path) -> None:
    write(
        tmp_path,
        "a/b/space.json",
        document("a.b.space", main={"type": "space", "x": [{"type": "ref"}, {"type": "union"}]}),
    )
    catalog = Catalog.load(tmp_path, strict=True)
    assert list(catalog.nsids("space")) == ["a.b.space"]
    Validator(catalog)


def test_what_a_strict_folder_may_not_be(tmp_path: Path) -> None:
    with pytest.raises(LexiconError, match="no lexicon documents"):
        Catalog.load(tmp_path, strict=True)
    write(tmp_path, "a/b/two.json", document("a.b.one", main=object_with()))
    with pytest.raises(LexiconError, match="does not stand at its path"):
        Catalog.load(tmp_path, strict=True)
    (tmp_path / "a/b/two.json").write_text("{")
    with pytest.raises(LexiconError, match="is not JSON"):
        Catalog.load(tmp_path, strict=True)


def test_another_namespace() -> None:
    catalog = shipped("fm.plyr.stg")
    assert catalog.get("fm.plyr.track") is None
    track = catalog.definition("fm.plyr.stg.track")
    assert track["record"]["properties"]["features"]["items"]["ref"] == "fm.plyr.stg.track#featuredArtist"
    assert catalog.get("app.bsky.actor.profile") is not None
    validator = Validator(catalog)
    like = {
        "$type": "fm.plyr.stg.like",
        "subject": {
            "uri": "at://did:plc:a/fm.plyr.stg.track/x",
            "cid": "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq",
        },
        "createdAt": "2026-01-15T10:30:00.000Z",
    }
    validator.validate_record("fm.plyr.stg.like", "3lfvhszifvc2c", like)
    with pytest.raises(LexiconError):
        validator.validate_record("fm.plyr.like", "3lfvhszifvc2c", like)


def test_a_namespace_that_is_none() -> None:
    with pytest.raises(LexiconError, match="no NSID"):
        shipped("not a namespace")
