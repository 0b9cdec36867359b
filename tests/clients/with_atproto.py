"""A client with types by `atproto gen custom`. Arguments: where they are, the server, a handle, a track, a list."""

import json
import sys

sys.path.insert(0, sys.argv[1])

import pytest
from atproto_client.exceptions import BadRequestError
from atproto_client.models.common import XrpcError
from plyr_client import models
from plyr_client.client import PlyrClientClient


def main(service: str, actor: str, track: str, list_: str) -> None:
    """Ask several methods, and check what comes back by its types."""
    plyr = PlyrClientClient(f"{service}/xrpc").fm.plyr
    (song,) = plyr.feed.get_tracks({"uris": [track]}).tracks
    assert isinstance(song, models.FmPlyrFeedDefs.TrackView)
    assert song.uri == track
    assert isinstance(song.record, models.FmPlyrTrack.Record)
    assert song.record.title == song.title

    profile = plyr.actor.get_profile({"actor": actor})
    assert profile.handle == actor

    seen: list[str] = []
    cursor = None
    while True:
        page = plyr.feed.get_feed(models.FmPlyrFeedGetFeed.Params(feed="latest", limit=1, cursor=cursor))
        seen += [entry.track.uri for entry in page.feed]
        cursor = page.cursor
        if cursor is None:
            break
    assert track in seen
    assert len(set(seen)) == len(seen) > 1

    items = plyr.graph.get_list({"list": list_}).items
    assert any(isinstance(item.track, models.FmPlyrFeedDefs.TrackView) for item in items)

    with pytest.raises(BadRequestError) as refused:
        plyr.actor.get_profile({"actor": "nobody.test"})
    assert refused.value.response is not None
    assert isinstance(refused.value.response.content, XrpcError)
    assert refused.value.response.content.error == "NotFound"
    print(json.dumps({"seen": len(seen), "profile": profile.did}))


if __name__ == "__main__":
    main(*sys.argv[2:])
