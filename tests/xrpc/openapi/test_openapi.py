"""`/api/openapi.json`: a valid OpenAPI 3.1 document that says what the lexicons say, and that the answers keep."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from lexicons.catalog import Catalog, shipped
from tests.index_writer import IndexWriter
from tests.xrpc.client import NAMESPACE, Client, strict_client
from tests.xrpc.methods.world import make_world
from xrpc.http.page.examples import Samples, example
from xrpc.methods import METHODS
from xrpc.openapi import document, error_names
from xrpc.openapi.schemas import Schemas
from xrpc.signatures import by_nsid

CATALOG: Final = shipped()
NSIDS: Final = sorted(by_nsid(METHODS, NAMESPACE))
DOCUMENT: Final = document(
    CATALOG, NSIDS, namespace=NAMESPACE, service="did:web:appview.test", url="http://appview.test", version="1"
)


def schema_of(field: Mapping[str, Any], **defs: Any) -> dict[str, Any]:
    """A schema of lexicons, as JSON Schema that stands alone."""
    document = {"lexicon": 1, "id": "com.example.defs", "defs": {"thing": field, **defs}}
    schemas = Schemas(Catalog([document], strict=True))
    found = schemas.of(schemas._catalog.definition("com.example.defs#thing"))
    return {**found, "components": {"schemas": schemas.components}}


def test_it_is_valid() -> None:
    validate(DOCUMENT, cls=OpenAPIV31SpecValidator)


def test_every_method_is_there_with_all_its_lexicon_says() -> None:
    assert list(DOCUMENT["paths"]) == [f"/xrpc/{nsid}" for nsid in NSIDS]
    for nsid in NSIDS:
        definition = CATALOG.definition(nsid)
        operation = operation_of(nsid)
        assert operation["operationId"] == nsid
        assert operation["description"] == definition["description"]
        assert operation["tags"][0] in [tag["name"] for tag in DOCUMENT["tags"]]
        declared = definition.get("parameters", {})
        given = {parameter["name"]: parameter for parameter in operation["parameters"]}
        assert given.keys() == declared.get("properties", {}).keys()
        assert {name for name, one in given.items() if one["required"]} == set(declared.get("required", ()))
        for name, field in declared.get("properties", {}).items():
            for said in ("default", "minimum", "maximum", "enum", "const"):
                assert given[name]["schema"].get(said) == field.get(said), (nsid, name, said)
            assert given[name]["schema"].get("maxItems") == (field.get("maxLength") if "items" in field else None)
        if "output" in definition:
            fields = definition["output"]["schema"].get("properties", {})
            assert sorted(answer_of(nsid).get("properties", {})) == sorted(fields)
        if "input" in definition:
            assert list(operation["requestBody"]["content"]) == [definition["input"]["encoding"]]
        for error in definition.get("errors", ()):
            assert error["name"] in [name for names in error_names(definition).values() for name in names]
            assert f"`{error['name']}`" in str(operation["responses"]) or not error.get("description")


def operation_of(nsid: str) -> Any:
    verb = "get" if CATALOG.definition(nsid)["type"] == "query" else "post"
    return DOCUMENT["paths"][f"/xrpc/{nsid}"][verb]


def answer_of(nsid: str) -> Any:
    return operation_of(nsid)["responses"]["200"]["content"]["application/json"]["schema"]


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in (*value.values(), *value.get("discriminator", {}).get("mapping", {}).values()):
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_every_reference_leads_somewhere_and_nothing_is_left_over() -> None:
    sections = DOCUMENT["components"]
    there = {f"#/components/{kind}/{name}" for kind in ("schemas", "responses") for name in sections[kind]}
    used = set(references(DOCUMENT))
    assert used <= there
    assert {place for place in there - used if not place.endswith("/BadRequest")} == set()


async def test_answers_are_what_it_promises(client: Client, index: IndexWriter) -> None:
    await make_world(index)
    tracks = (await client.ask("feed.getFeed", feed="latest"))["feed"]
    (list_,) = (await client.ask("graph.getActorLists", actor=tracks[0]["track"]["author"]["did"]))["lists"]
    samples = Samples([entry["track"] for entry in tracks], list_)
    for nsid in NSIDS:
        url = example(nsid, CATALOG.definition(nsid), samples)
        if url is None:
            continue
        answer = await client.get(url)
        schema = {**answer_of(nsid), "components": DOCUMENT["components"]}
        validator = Draft202012Validator(schema)
        if answer.status_code == 200:
            validator.validate(answer.json())
            assert not validator.is_valid({}) or not answer_of(nsid).get("required")


async def test_it_is_served_with_a_tag(client: Client) -> None:
    answer = await client.get("/api/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert list(answer.json()["paths"]) == list(DOCUMENT["paths"])
    tag = answer.headers["etag"]
    for known in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = await client.get("/api/openapi.json", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    other = await client.get("/api/openapi.json", headers={"If-None-Match": '"other"'})
    assert (other.status_code, other.content) == (200, answer.content)
    assert (await client.head("/api/openapi.json")).status_code == 200
    assert (await client.post("/api/openapi.json")).status_code == 405


async def test_it_names_the_place_it_is_served_from(database_url: str) -> None:
    url = "https://music.example"
    async with strict_client(database_url, PLYR_DEV="0", PLYR_PUBLIC_URL=url) as client:
        read = (await client.get("/api/openapi.json")).json()
    assert read["servers"] == [{"url": url}]
    assert "did:web:music.example#plyr_appview" in read["info"]["description"]


@pytest.mark.parametrize(
    ("field", "right", "wrong"),
    [
        ({"type": "string", "minLength": 5, "maxLength": 8}, ["äöü", "12345678"], ["1", "123456789"]),
        ({"type": "string", "enum": ["a"]}, ["a"], ["b"]),
        ({"type": "string", "knownValues": ["a"]}, ["a", "b"], [1]),
        ({"type": "integer", "minimum": 1, "maximum": 2}, [1, 2], [0, 3, "1", 1.5]),
        ({"type": "boolean", "const": True}, [True], [False, 1]),
        ({"type": "bytes"}, [{"$bytes": "AAAA"}], ["AAAA"]),
        ({"type": "cid-link"}, [{"$link": "bafy"}], ["bafy"]),
        (
            {"type": "blob", "maxSize": 9},
            [{"$type": "blob", "ref": {"$link": "b"}, "mimeType": "a/b", "size": 9}],
            [{"$type": "blob", "ref": {"$link": "b"}, "mimeType": "a/b", "size": 10}, {"mimeType": "a/b"}],
        ),
        (
            {"type": "array", "items": {"type": "integer"}, "minLength": 1, "maxLength": 2},
            [[1], [1, 2]],
            [[], [1, 2, 3]],
        ),
        (
            {"type": "object", "required": ["a"], "nullable": ["a"], "properties": {"a": {"type": "integer"}}},
            [{"a": 1}, {"a": None, "b": 2}],
            [{}, {"a": "1"}, []],
        ),
    ],
)
def test_types(field: Mapping[str, Any], right: list[Any], wrong: list[Any]) -> None:
    validator = Draft202012Validator(schema_of(field))
    assert [value for value in right if not validator.is_valid(value)] == []
    assert [value for value in wrong if validator.is_valid(value)] == []


def test_a_union_is_told_by_its_type_and_may_be_open() -> None:
    a = {
        "type": "object",
        "required": ["n"],
        "properties": {"n": {"type": "integer"}, "next": {"type": "ref", "ref": "#a"}},
    }
    for closed in (False, True):
        union = {"type": "union", "refs": ["#a"], "closed": closed}
        holder = {"type": "object", "properties": {"value": union}}
        schema = schema_of(holder, a=a)
        validator = Draft202012Validator(schema)
        assert validator.is_valid({"value": {"$type": "com.example.defs#a", "n": 1, "next": {"n": 2}}})
        assert not validator.is_valid({"value": {"n": 1}})
        assert not validator.is_valid({"value": {"$type": "com.example.defs#a", "n": "1"}})
        assert not validator.is_valid({"value": {"$type": "com.example.defs#a", "n": 1, "next": {"n": "2"}}})
        assert validator.is_valid({"value": {"$type": "com.example.new"}}) is not closed
        mapping = schema["properties"]["value"]["discriminator"]["mapping"]
        assert mapping == {"com.example.defs#a": "#/components/schemas/com.example.defs.a.tagged"}


def test_a_procedure_is_posted_and_a_method_that_wants_auth_says_so() -> None:
    input_ = {"encoding": "application/json", "schema": {"type": "object", "properties": {"a": {"type": "integer"}}}}
    main = {"type": "procedure", "description": "Do it. Requires auth.", "input": input_, "errors": [{"name": "No"}]}
    catalog = Catalog([{"lexicon": 1, "id": "com.example.do", "defs": {"main": main}}], strict=True)
    made = document(
        catalog, ["com.example.do"], namespace="com.example", service="did:web:a", url="http://a", version="1"
    )
    validate(made, cls=OpenAPIV31SpecValidator)
    operation = made["paths"]["/xrpc/com.example.do"]["post"]
    assert operation["security"] == [{"serviceAuth": []}, {"developerToken": []}]
    assert "a" in operation["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert "No" in str(operation["responses"]["400"])
    assert "304" not in operation["responses"]
