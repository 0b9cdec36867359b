"""The API on one page: every method that is answered, and who answers it.

Names are within our namespace (`feed.getTracks`), or full where they are `com.atproto.…`. Adding a method is a lexicon
document, a handler with its test, and a line here; the server does not start while these three do not agree.
"""

from collections.abc import Mapping
from typing import Final

from xrpc.methods import actor, feed, graph, server
from xrpc.signatures import Handler

METHODS: Final[Mapping[str, Handler]] = {
    "actor.getProfile": actor.get_profile,
    "feed.getActorTracks": feed.get_actor_tracks,
    "feed.getComments": feed.get_comments,
    "feed.getFeed": feed.get_feed,
    "feed.getLikes": feed.get_likes,
    "feed.getTracks": feed.get_tracks,
    "graph.getActorLists": graph.get_actor_lists,
    "graph.getList": graph.get_list,
    "server.explain": server.explain,
    "server.getStats": server.get_stats,
}
