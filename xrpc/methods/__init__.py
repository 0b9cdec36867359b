"""The API on one page: every method that is answered, and who answers it.

Names are within our namespace (`feed.getTracks`), or full where they are `com.atproto.…`. Adding a method is a lexicon
document, a handler with its test, and a line here; the server does not start while these three do not agree.
"""

from collections.abc import Mapping
from typing import Final

from xrpc.methods import (
    account,
    actor,
    comments,
    feed,
    generators,
    graph,
    likes,
    lists,
    protocol,
    repo,
    search,
    server,
    tracks,
)
from xrpc.signatures import Handler

QUERIES: Final[Mapping[str, Handler]] = {
    "actor.getProfile": actor.get_profile,
    "actor.getProfiles": actor.get_profiles,
    "actor.searchActors": search.search_actors,
    "actor.searchActorsTypeahead": search.search_actors_typeahead,
    "com.atproto.identity.resolveHandle": protocol.resolve_handle,
    "com.atproto.repo.getRecord": protocol.get_record,
    "com.atproto.repo.listRecords": protocol.list_records,
    "feed.describeFeedGenerator": feed.describe_feed_generator,
    "feed.getActivity": feed.get_activity,
    "feed.getActorFeeds": generators.get_actor_feeds,
    "feed.getActorLikes": feed.get_actor_likes,
    "feed.getActorTracks": feed.get_actor_tracks,
    "feed.getComments": feed.get_comments,
    "feed.getFeed": feed.get_feed,
    "feed.getFeedGenerator": generators.get_feed_generator,
    "feed.getFeedGenerators": generators.get_feed_generators,
    "feed.getFeedSkeleton": feed.get_feed_skeleton,
    "feed.getLikes": feed.get_likes,
    "feed.getSuggestedFeeds": generators.get_suggested_feeds,
    "feed.getTracks": feed.get_tracks,
    "feed.searchTracks": search.search_tracks,
    "graph.getActorLists": graph.get_actor_lists,
    "graph.getList": graph.get_list,
    "graph.getLists": graph.get_lists,
    "graph.getListsContaining": graph.get_lists_containing,
    "graph.searchLists": search.search_lists,
    "search.searchAll": search.search_all,
    "server.explain": server.explain,
    "server.getPreferences": account.get_preferences,
    "server.getStats": server.get_stats,
}

PROCEDURES: Final[Mapping[str, Handler]] = {
    "actor.updateProfile": account.update_profile,
    "com.atproto.repo.applyWrites": repo.apply_writes,
    "com.atproto.repo.createRecord": repo.create_record,
    "com.atproto.repo.deleteRecord": repo.delete_record,
    "com.atproto.repo.putRecord": repo.put_record,
    "com.atproto.repo.uploadBlob": repo.upload_blob,
    "feed.deleteComment": comments.delete_comment,
    "feed.deleteTrack": tracks.delete_track,
    "feed.editComment": comments.edit_comment,
    "feed.likeTrack": likes.like_track,
    "feed.postComment": comments.post_comment,
    "feed.unlikeTrack": likes.unlike_track,
    "feed.updateTrack": tracks.update_track,
    "graph.addItems": lists.add_items,
    "graph.createList": lists.create_list,
    "graph.deleteList": lists.delete_list,
    "graph.moveItem": lists.move_item,
    "graph.removeItems": lists.remove_items,
    "graph.updateList": lists.update_list,
    "server.putPreferences": account.put_preferences,
}

METHODS: Final[Mapping[str, Handler]] = {**QUERIES, **PROCEDURES}
