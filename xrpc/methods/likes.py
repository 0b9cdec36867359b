"""`feed.*`: likes, of which an account has one for a track."""

from typing import Any

from appview.db import Pool
from appview.writes import Repo, Written, likes
from lexicons.formats import parse_at_uri
from xrpc.context import Context
from xrpc.methods.own import references, seen, subject_uris, told


async def like_track(ctx: Context, *, subject: str, cid: str | None = None) -> dict[str, Any]:
    """Answer `feed.likeTrack`."""
    repo = await ctx.repo()
    (track,) = await references(ctx, [{"uri": subject} | ({"cid": cid} if cid else {})], "track")
    written = await _liked(ctx, repo, track)
    return {**told(written), **await seen(ctx, "track", ctx.views.tracks, track["uri"])}


async def unlike_track(ctx: Context, *, subject: str) -> dict[str, Any]:
    """Answer `feed.unlikeTrack`."""
    repo, pool, nsid = await ctx.repo(), ctx.required_accounts().pool, f"{ctx.config.namespace}.like"
    (track,) = await subject_uris(ctx, [subject], "track")
    coming = await likes.call_off(pool, nsid, repo.did, track)
    waiting = {f"at://{repo.did}/{nsid}/{coming}"} if coming is not None else set()
    gone: dict[str, str | None] = {}
    while waiting := (waiting | set(await likes.all_of(pool, repo.did, track))) - gone.keys():
        for uri in sorted(waiting):
            gone[uri] = (await repo.delete(nsid, parse_at_uri(uri).rkey or "")).rev
    last = max((rev for rev in gone.values() if rev is not None), default=None)
    return {
        "uris": [uri for uri, rev in gone.items() if rev is not None],
        **({"rev": last} if last is not None else {}),
        **await seen(ctx, "track", ctx.views.tracks, track),
    }


async def _liked(ctx: Context, repo: Repo, track: dict[str, str]) -> Written:
    """The like of `track` that there is, or else a new one."""
    pool, nsid, uri = ctx.required_accounts().pool, f"{ctx.config.namespace}.like", track["uri"]
    if (there := await _there(pool, repo, nsid, uri)) is not None:
        return there
    async with likes.coming(pool, nsid, repo.did, uri, track["cid"]) as like:
        # Whoever wrote it meanwhile may have been done before we asked which it is to be.
        if (there := await _there(pool, repo, nsid, uri)) is not None:
            return there
        return await repo.create(nsid, like.record(nsid, uri), rkey=like.rkey)


async def _there(pool: Pool, repo: Repo, nsid: str, track: str) -> Written | None:
    """The like that there is: where the index may be behind what was taken back, the PDS is asked."""
    for like in await likes.there(pool, repo.did, track):
        if not like.is_doubtful or await repo.get(nsid, parse_at_uri(like.uri).rkey or "") is not None:
            return Written(like.uri, like.cid, None)
    return None
