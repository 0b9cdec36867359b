"""Our documents as the network is to find them: records, each beside the domain name that vouches for it. Pure."""

from collections.abc import Mapping
from typing import Any, Final

from lexicons.catalog import Catalog, Schema
from lexicons.data import CID, encode, from_json

COLLECTION: Final = "com.atproto.lexicon.schema"
FULL_ACCESS: Final = "authFullApp"


def records(catalog: Catalog, namespace: str) -> dict[str, dict[str, Any]]:
    """The record of each document of `namespace` by its key, which is the NSID (LX-30), and of the permission set."""
    documents = [document for nsid, document in catalog.documents.items() if nsid.startswith(f"{namespace}.")]
    made = [*documents, full_access(catalog, namespace)]
    return {one["id"]: {"$type": COLLECTION, **one} for one in sorted(made, key=lambda one: str(one["id"]))}


def full_access(catalog: Catalog, namespace: str) -> Schema:
    """The permission set by which an app asks for all that it can do with music, and nothing else (OA-42).

    Blobs are in no set: an app asks for `blob:audio/*` and `blob:image/*` beside `include:` of this one.
    """
    collections = [nsid for nsid in catalog.nsids("record") if nsid.startswith(f"{namespace}.")]
    methods = [
        nsid for kind in ("query", "procedure") for nsid in catalog.nsids(kind) if nsid.startswith(f"{namespace}.")
    ]
    write = {
        "type": "permission",
        "resource": "repo",
        "collection": sorted(collections),
        "action": ["create", "update", "delete"],
    }
    ask = {"type": "permission", "resource": "rpc", "inheritAud": True, "lxm": sorted(methods)}
    main = {
        "type": "permission-set",
        "title": "Your music",
        "detail": "Publish and change your tracks, lists, likes, comments and profile, and see what concerns you.",
        "permissions": [write, ask],
    }
    return {"lexicon": 1, "id": f"{namespace}.{FULL_ACCESS}", "defs": {"main": main}}


def cid(record: Mapping[str, Any]) -> str:
    """The CID that `record`, as JSON, has in a repository."""
    return str(CID.of(encode(from_json(record))))


def authorities(nsids: Mapping[str, Any]) -> list[str]:
    """The domain names whose TXT record says who may speak for these: one for each group, and none for two (LX-31)."""
    groups = {nsid.rpartition(".")[0] for nsid in nsids}
    return [f"_lexicon.{'.'.join(reversed(group.split('.')))}" for group in sorted(groups)]
