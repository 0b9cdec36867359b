"""`feed.*`: likes, of which an account has one for a track."""

from typing import Any

from appview.writes import Written, likes
from lexicons.formats import parse_at_uri
from xrpc.context import Context
from xrpc.methods.own import references, seen, subject_uris, told


async def like_track(ctx: Context, *, subject: str, cid: str | None = None) -> dict[str, Any]:
    """Answer `feed.likeTrack`."""
    repo, viewer, pool = await ctx.repo(), ctx.required_viewer(), ctx.required_accounts().pool
    (track,) = await references(ctx, [{"uri": subject} | ({"cid": cid} if cid else {})], "track")
    uri, nsid = track["uri"], f"{ctx.config.namespace}.like"
    there = await likes.first(pool, viewer, uri)
    if there is None:
        async with likes.coming(pool, nsid, viewer, uri, track["cid"]) as like:
            # Whoever wrote it meanwhile may have been done before we asked which it is to be.
            there = await likes.first(pool, viewer, uri)
            if there is None:
                written = await repo.create(nsid, like.record(nsid, uri), rkey=like.rkey)
    if there is not None:
        written = Written(*there, None)
    return {**told(written), **await seen(ctx, "track", ctx.views.tracks, uri)}


async def unlike_track(ctx: Context, *, subject: str) -> dict[str, Any]:
    """Answer `feed.unlikeTrack`."""
    repo, viewer, pool = await ctx.repo(), ctx.required_viewer(), ctx.required_accounts().pool
    (track,) = await subject_uris(ctx, [subject], "track")
    nsid = f"{ctx.config.namespace}.like"
    coming = await likes.call_off(pool, viewer, track)
    waiting = {f"at://{viewer}/{nsid}/{coming}"} if coming is not None else set()
    gone: dict[str, str | None] = {}
    while waiting := (waiting | set(await likes.all_of(pool, viewer, track))) - gone.keys():
        for uri in sorted(waiting):
            gone[uri] = (await repo.delete(nsid, parse_at_uri(uri).rkey or "")).rev
    last = max((rev for rev in gone.values() if rev is not None), default=None)
    return {
        "uris": [uri for uri, rev in gone.items() if rev is not None],
        **({"rev": last} if last is not None else {}),
        **await seen(ctx, "track", ctx.views.tracks, track),
    }
