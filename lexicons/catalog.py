"""The catalog: every definition there is, by name (`nsid` or `nsid#name`), with its references made absolute."""

import json
from collections.abc import ItemsView, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Self

from lexicons.language import FIELD_TYPES, LexiconError, Schema, check_document

__all__ = ["NAMESPACE", "Catalog", "LexiconError", "Schema", "shipped"]

NAMESPACE: Final = "fm.plyr"
_FOLDER: Final = Path(__file__).parent
# What data can be: a ref leads to no token, which has none, nor to a method (LX-02).
_REFERABLE: Final = FIELD_TYPES - {"ref", "union", "unknown"} | {"record"}


class Catalog:
    """Lexicon documents that keep the rules of the language, and the definitions in them.

    Strict: each reference leads somewhere, or the catalog does not come to be. Otherwise a reference may lead nowhere,
    and is an error only for the value that gets there (FX-04).
    """

    def __init__(self, documents: Iterable[object], *, strict: bool) -> None:
        self.documents: dict[str, Schema] = {}
        self._definitions: dict[str, Schema] = {}
        for document in documents:
            self._add(document)
        for name, definition in self._definitions.items():
            for ref, by_union in _references(definition):
                self._check_target(name, ref, by_union=by_union, strict=strict)

    @classmethod
    def load(cls, folder: Path, *, strict: bool, namespace: str = NAMESPACE) -> Self:
        """The catalog of all `*.json` under `folder`; strict ones stand at the path that their NSID spells.

        With a `namespace` other than `fm.plyr`, the documents of that name are taken over to it. Raises LexiconError.
        """
        documents = []
        for path in sorted(folder.rglob("*.json")):
            text = path.read_text("utf-8")
            document = _parse(text, path)
            nsid = check_document(document)["id"]
            if strict and path != folder.joinpath(*nsid.split(".")).with_suffix(".json"):
                raise LexiconError(f"{nsid} does not stand at its path, but at {path}.")
            if namespace != NAMESPACE:
                document = _parse(text.replace(f'"{NAMESPACE}.', f'"{namespace}.'), path)
            documents.append(document)
        if strict and not documents:
            raise LexiconError(f"There are no lexicon documents under {folder}.")
        return cls(documents, strict=strict)

    def get(self, name: str) -> Schema | None:
        """The definition called `nsid`, `nsid#main` or `nsid#name`; its refs are absolute. None when there is none."""
        return self._definitions.get(name.removesuffix("#main"))

    def definition(self, name: str) -> Schema:
        """As `get`, but a LexiconError when there is none."""
        found = self.get(name)
        if found is None:
            raise LexiconError(f"No lexicon defines {name[:400]}.")
        return found

    def items(self) -> ItemsView[str, Schema]:
        """Each definition with its name."""
        return self._definitions.items()

    def nsids(self, kind: str) -> Iterator[str]:
        """The NSIDs whose main definition is of type `kind`: `record`, `query`, …"""
        return (
            name for name, definition in self._definitions.items() if definition["type"] == kind and "#" not in name
        )

    def _add(self, document: object) -> None:
        checked = check_document(document)
        nsid = checked["id"]
        if nsid in self.documents:
            raise LexiconError(f"{nsid} is defined twice.")
        self.documents[nsid] = checked
        for name, definition in checked["defs"].items():
            self._definitions[nsid if name == "main" else f"{nsid}#{name}"] = _absolute(definition, nsid)

    def _check_target(self, name: str, ref: str, *, by_union: bool, strict: bool) -> None:
        target = self._definitions.get(ref)
        if target is None:
            if strict:
                raise LexiconError(f"{name} refers to {ref}, which no lexicon defines.")
        elif target["type"] not in ({"object", "record"} if by_union else _REFERABLE):
            raise LexiconError(f"{name} refers to {ref}, a {target['type']}.")


def shipped(namespace: str = NAMESPACE) -> Catalog:
    """The documents beside this module, ours under `namespace`. Raises LexiconError: without them nothing can start."""
    return Catalog.load(_FOLDER, strict=True, namespace=namespace)


def _parse(text: str, path: Path) -> object:
    try:
        parsed: object = json.loads(text)
    except json.JSONDecodeError as error:
        raise LexiconError(f"{path} is not JSON: {error}.") from None
    return parsed


def _absolute(schema: Any, nsid: str) -> Any:
    """`schema` with each `#name` written out as `nsid#name`, and no `#main`."""
    if isinstance(schema, list):
        return [_absolute(item, nsid) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: _absolute(value, nsid) for key, value in schema.items()}
    if _is_ref(found):
        found["ref"] = _full_name(found["ref"], nsid)
    elif _is_union(found):
        found["refs"] = [_full_name(ref, nsid) for ref in found["refs"]]
    return found


def _full_name(ref: str, nsid: str) -> str:
    return (nsid + ref if ref.startswith("#") else ref).removesuffix("#main")


def _references(schema: Any) -> Iterator[tuple[str, bool]]:
    """Each reference in `schema`, and whether a union makes it."""
    if isinstance(schema, list):
        for item in schema:
            yield from _references(item)
    elif isinstance(schema, dict):
        if _is_ref(schema):
            yield schema["ref"], False
        elif _is_union(schema):
            yield from ((ref, True) for ref in schema["refs"])
        for value in schema.values():
            yield from _references(value)


# The walk also meets what the language does not govern, such as types to come: hence the second look.
def _is_ref(schema: Schema) -> bool:
    return schema.get("type") == "ref" and isinstance(schema.get("ref"), str)


def _is_union(schema: Schema) -> bool:
    refs = schema.get("refs")
    return schema.get("type") == "union" and isinstance(refs, list) and all(isinstance(ref, str) for ref in refs)
