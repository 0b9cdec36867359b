"""A small world in which Alice has something in every place where an account can show up, and Bob keeps her company."""

from typing import Any, Final, NamedTuple

from appview.index.rankings import NAMES, make
from tests.index_writer import BLOB, IndexWriter, ref, rkey

ALICE: Final = "did:plc:alice"
BOB: Final = "did:plc:bob"
CAROL: Final = "did:plc:carol"
SECRET: Final = "Alice was here"
"""Stands in every text and in every address that is Alice's."""
PICTURE: Final = {**BLOB, "mimeType": "image/png"}


class World(NamedTuple):
    """What there is, by its URI."""

    hers: str
    his: str
    her_list: str
    his_list: str
    her_like: str
    her_comment: str
    her_feed: str
    his_feed: str


async def make_world(index: IndexWriter) -> World:
    """Accounts with handles, profiles, tracks, likes, comments, lists, feeds and follows, and the rankings of them."""
    for did, name in ((ALICE, "alice"), (BOB, "bob"), (CAROL, "carol")):
        await index.account(did, handle=f"{name}.test", pds=f"https://{name}.pds.test")
        await index.set_status(did, active=True)
    hers = await index.write(ALICE, "fm.plyr.track", rkey(1), **_her_track())
    his = await index.write(
        BOB,
        "fm.plyr.track",
        rkey(2),
        title="His",
        album="Ours",
        features=[{"did": ALICE}, {"did": CAROL}],
        duration=100,
    )
    items = [{"subject": ref(hers)}, {"subject": ref(his)}]
    await index.write(ALICE, "fm.plyr.actor.profile", "self", bio=SECRET, avatar="https://alice.test/Alice was here")
    await index.write(ALICE, "app.bsky.actor.profile", "self", displayName=SECRET, description=SECRET, avatar=PICTURE)
    await index.write(BOB, "app.bsky.actor.profile", "self", displayName="Bob")
    await index.write(ALICE, "app.bsky.graph.follow", rkey(3), subject=BOB)
    for place, (did, subject) in enumerate(((BOB, hers), (BOB, his), (CAROL, hers), (CAROL, his))):
        await index.write(did, "fm.plyr.like", rkey(20 + place), subject=ref(subject))
        await index.write(
            did, "fm.plyr.comment", rkey(20 + place), subject=ref(subject), text="Fine", timestampMs=place
        )
    await index.write(ALICE, "fm.plyr.like", rkey(10), subject=ref(hers))
    await index.write(ALICE, "fm.plyr.comment", rkey(10), subject=ref(hers), text=SECRET, timestampMs=0)
    world = World(
        hers,
        his,
        await index.write(ALICE, "fm.plyr.list", rkey(4), name=SECRET, listType="playlist", items=items),
        await index.write(BOB, "fm.plyr.list", rkey(5), name="His picks", listType="playlist", items=items),
        await index.write(ALICE, "fm.plyr.like", rkey(11), subject=ref(his)),
        await index.write(ALICE, "fm.plyr.comment", rkey(11), subject=ref(his), text=SECRET, timestampMs=0),
        *await index.write_all(
            (did, "fm.plyr.feed.generator", key, {"did": "did:web:feeds.test", "displayName": name, "avatar": PICTURE})
            for did, key, name in ((ALICE, rkey(12), SECRET), (BOB, rkey(13), "His feed"))
        ),
    )
    for name in NAMES:
        await make(index.connection, name, index.now)
    return world


def _her_track() -> dict[str, Any]:
    return {
        "title": SECRET,
        "artist": SECRET,
        "album": SECRET,
        "description": SECRET,
        "audioBlob": BLOB,
        "imageUrl": "https://alice.test/cover.jpg",
        "duration": 1000,
        "labels": {"$type": "com.atproto.label.defs#selfLabels", "values": [{"val": "alice-says"}]},
    }
