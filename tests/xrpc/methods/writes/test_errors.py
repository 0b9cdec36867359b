"""What procedures that write to a PDS are refused with: who may not, what was not allowed, what was asked before."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import pytest

from appview.db import Connection
from tests.index_writer import ref
from tests.network.network import Network
from tests.network.pds import User
from tests.network.xrpc import Json
from tests.xrpc.client import NAMESPACE, Client
from tests.xrpc.methods.writes.writer import TRACK, Writer, sign_in
from tests.xrpc.viewer import Viewer
from xrpc.methods import PROCEDURES
from xrpc.signatures import by_nsid

RKEY: Final = "3lx2wryxkduc2"
REPO: Final = "com.atproto.repo"
UPLOAD: Final = f"{REPO}.uploadBlob"
AT_NO_PDS: Final = "server.putPreferences"


class Own(NamedTuple):
    """An account and what it has, each under RKEY: a track, a comment, and a list of two tracks."""

    did: str

    def uri(self, kind: str) -> str:
        return f"at://{self.did}/fm.plyr.{kind}/{RKEY}"

    @property
    def named(self) -> Json:
        return {"repo": self.did, "collection": "fm.plyr.track"}


# What each procedure is asked, so that it has something to write.
CALLS: Final[Mapping[str, Callable[[Own], Json]]] = {
    "actor.updateProfile": lambda _: {"bio": "x"},
    f"{REPO}.applyWrites": lambda own: {
        "repo": own.did,
        "writes": [{"$type": f"{REPO}.applyWrites#delete", "collection": "fm.plyr.track", "rkey": RKEY}],
    },
    f"{REPO}.createRecord": lambda own: own.named | {"record": TRACK},
    f"{REPO}.deleteRecord": lambda own: own.named | {"rkey": RKEY},
    f"{REPO}.putRecord": lambda own: own.named | {"rkey": RKEY, "record": TRACK},
    "feed.deleteComment": lambda own: {"uri": own.uri("comment")},
    "feed.deleteTrack": lambda own: {"uri": own.uri("track")},
    "feed.editComment": lambda own: {"uri": own.uri("comment"), "text": "y"},
    "feed.likeTrack": lambda own: {"subject": own.uri("track"), "cid": ref("x")["cid"]},
    "feed.postComment": lambda own: {
        "subject": own.uri("track"),
        "cid": ref("x")["cid"],
        "text": "x",
        "timestampMs": 0,
    },
    "feed.unlikeTrack": lambda own: {"subject": own.uri("track")},
    "feed.updateTrack": lambda own: {"uri": own.uri("track"), "title": "y"},
    "graph.addItems": lambda own: {"list": own.uri("list"), "items": [ref(own.uri("comment"))]},
    "graph.createList": lambda _: {"name": "x", "listType": "x"},
    "graph.deleteList": lambda own: {"list": own.uri("list")},
    "graph.moveItem": lambda own: {"list": own.uri("list"), "subject": own.uri("track"), "position": 1},
    "graph.removeItems": lambda own: {"list": own.uri("list"), "items": [{"subject": own.uri("track")}]},
    "graph.updateList": lambda own: {"list": own.uri("list"), "name": "y"},
}
WITHOUT_KEY: Final = {"feed.likeTrack", "feed.unlikeTrack"}
"""However often they are asked, they come to the same."""


async def furnish(user: User) -> Own:
    """Give an account what Own says, at its PDS alone."""
    own = Own(user.did)
    await user.put_record("fm.plyr.track", RKEY, TRACK)
    await user.put_record("fm.plyr.comment", RKEY, {"text": "x"})
    items = [{"subject": ref(own.uri("track"))}, {"subject": ref(own.uri("like"))}]
    await user.put_record("fm.plyr.list", RKEY, {"items": items})
    return own


def test_every_procedure_is_asked() -> None:
    assert CALLS.keys() | {UPLOAD, AT_NO_PDS} == PROCEDURES.keys()


async def test_what_was_not_allowed_is_not_done(server: Client, network: Network) -> None:
    user = await network.create_account("narrow")
    own = await furnish(user)
    narrow = await sign_in(server, network, user, f"atproto repo:{NAMESPACE}.feed.generator")
    before = await narrow.user.query("com.atproto.sync.getLatestCommit", did=own.did)
    # A like that was asked for, though in vain, is what there is to be taken back after it.
    for method, values in CALLS.items():
        assert await narrow.client.refused_to_do(method, **values(own)) == (403, "ScopeMissing"), method
    png = {"Content-Type": "image/png"}
    answer = await narrow.client.post(f"/xrpc/{UPLOAD}", content=b"x", headers=png)
    assert (answer.status_code, answer.json()["error"]) == (403, "ScopeMissing")
    assert await narrow.user.query("com.atproto.sync.getLatestCommit", did=own.did) == before


async def test_a_key_that_stood_for_another_call(alice: Writer) -> None:
    own = await furnish(alice.user)
    await alice.do("graph.createList", "one", name="first", listType="x")
    before = await alice.user.query("com.atproto.sync.getLatestCommit", did=own.did)
    for method in CALLS.keys() - WITHOUT_KEY:
        assert await alice.refused(method, "one", **CALLS[method](own)) == "IdempotencyMismatch", method
    assert await alice.user.query("com.atproto.sync.getLatestCommit", did=own.did) == before


@pytest.mark.parametrize("method", by_nsid(PROCEDURES, NAMESPACE))
async def test_who_did_not_sign_in(server: Client, connection: Connection, method: str) -> None:
    name = method.removeprefix(f"{NAMESPACE}.")
    values: Any = CALLS[name](Own("did:plc:stranger")) if name in CALLS else {"preferences": []}
    png = {"content": b"x", "headers": {"Content-Type": "image/png"}}
    body: Any = png if name == UPLOAD else {"json": values}
    stranger = server.signed_in(await Viewer.of(connection, "did:plc:stranger"))
    for client, expected in ((server, "AuthMissing"), (stranger, "AuthRequired")):
        answer = await client.post(f"/xrpc/{method}", **body)
        if client is stranger and name == AT_NO_PDS:
            assert answer.status_code == 200
        else:
            assert (answer.status_code, answer.json()["error"]) == (401, expected)
