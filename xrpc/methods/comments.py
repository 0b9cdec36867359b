"""`feed.*`: comments, written and changed."""

from functools import partial
from typing import Any

from appview.reads.times import instant
from appview.writes.edits.fields import edited
from xrpc.context import Context
from xrpc.methods.own import changes_of, create_once, own_key, references, seen, told


async def post_comment(
    ctx: Context, *, subject: str, text: str, timestamp_ms: int, cid: str | None = None, rkey: str | None = None
) -> dict[str, Any]:
    """Answer `feed.postComment`."""
    repo, nsid = await ctx.repo(), f"{ctx.config.namespace}.comment"
    (track,) = await references(ctx, [{"uri": subject} | ({"cid": cid} if cid else {})], "track")
    record = {
        "$type": nsid,
        "subject": track,
        "text": text,
        "timestampMs": timestamp_ms,
        "createdAt": instant(ctx.now),
    }
    written = await create_once(ctx, repo, nsid, record, rkey)
    return {**told(written), **await seen(ctx, "comment", ctx.views.comments, written.uri)}


async def edit_comment(
    ctx: Context, *, uri: str, text: str | None = None, timestamp_ms: int | None = None
) -> dict[str, Any]:
    """Answer `feed.editComment`."""
    repo, rkey = await ctx.repo(), await own_key(ctx, uri, "comment")
    fields, _ = changes_of({"text": text, "timestampMs": timestamp_ms}, None)
    change = partial(edited, given=fields, updated_at=instant(ctx.now))
    nsid = f"{ctx.config.namespace}.comment"
    written = await repo.edit(nsid, rkey, change, key=ctx.idempotency_key, request=fields)
    return {**told(written), **await seen(ctx, "comment", ctx.views.comments, written.uri)}


async def delete_comment(ctx: Context, *, uri: str) -> dict[str, Any]:
    """Answer `feed.deleteComment`."""
    repo, rkey = await ctx.repo(), await own_key(ctx, uri, "comment")
    return told(await repo.delete(f"{ctx.config.namespace}.comment", rkey, key=ctx.idempotency_key))
