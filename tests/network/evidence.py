"""What the harness's own tests read out of frames, with code that is not ours: libipld, cbor2, atproto's signatures."""

from typing import Any

import cbor2
import libipld
from atproto_crypto.verify import verify_signature  # ships no types

from tests.network.frames import Frame
from tests.network.xrpc import Json

CID_TAG = 42


def of(frames: list[Frame], did: str) -> list[Frame]:
    """The frames of one account."""
    return [frame for frame in frames if frame.did == did]


def kinds(frames: list[Frame], did: str) -> list[str]:
    """The kinds of an account's frames, in their order."""
    return [frame.kind for frame in of(frames, did)]


def ops(frames: list[Frame], did: str) -> list[tuple[str, str]]:
    """Action and collection of each record operation of an account, in order."""
    commits = [frame for frame in of(frames, did) if frame.kind == "#commit"]
    return [(op["action"], op["path"].partition("/")[0]) for frame in commits for op in frame.body["ops"]]


def blocks(frame: Frame) -> dict[bytes, Json]:
    """The blocks that a #commit or #sync carries, by CID."""
    return libipld.decode_car(frame.body["blocks"])[1]


def signed_commit(frame: Frame) -> Json:
    """The signed commit of a #commit or #sync: the root of its blocks."""
    header, found = libipld.decode_car(frame.body["blocks"])
    (root,) = header["roots"]
    return found[root]


def is_signed_by(commit: Json, document: Json) -> bool:
    """Whether a commit's signature is one by the atproto key of a DID document of today's form."""
    (method,) = [method for method in document["verificationMethod"] if method["id"].endswith("#atproto")]
    unsigned = {name: _linked(name, value) for name, value in commit.items() if name != "sig"}
    signing_input = cbor2.dumps(unsigned, canonical=True)
    return bool(verify_signature(f"did:key:{method['publicKeyMultibase']}", signing_input, commit["sig"]))


def _linked(name: str, value: Any) -> Any:
    is_link = name in {"data", "prev"} and value is not None
    return cbor2.CBORTag(CID_TAG, b"\0" + value) if is_link else value
