"""`feed.*`: tracks, changed and deleted by their authors."""

from typing import Any

from appview.writes.edits.fields import edited, of_track
from xrpc.context import Context
from xrpc.methods.own import changes_of, own_key, seen, told


async def update_track(  # noqa: PLR0913 - a track has as many fields
    ctx: Context,
    *,
    uri: str,
    title: str | None = None,
    artist: str | None = None,
    album: str | None = None,
    description: str | None = None,
    duration: int | None = None,
    features: list[dict[str, Any]] | None = None,
    image_url: str | None = None,
    labels: dict[str, Any] | None = None,
    support_gate: dict[str, Any] | None = None,
    audio_blob: dict[str, Any] | None = None,
    audio_url: str | None = None,
    file_type: str | None = None,
    clear: list[str] | None = None,
) -> dict[str, Any]:
    """Answer `feed.updateTrack`."""
    repo, rkey = await ctx.repo(), await own_key(ctx, uri, "track")
    given = {
        "title": title,
        "artist": artist,
        "album": album,
        "description": description,
        "duration": duration,
        "features": features,
        "imageUrl": image_url,
        "labels": labels,
        "supportGate": support_gate,
        "audioBlob": audio_blob,
        "audioUrl": audio_url,
        "fileType": file_type,
    }
    fields, cleared = changes_of(given, clear)

    def change(record: dict[str, Any]) -> dict[str, Any] | None:
        return edited(record, of_track(record, fields), cleared)

    request = {"fields": fields, "clear": cleared}
    nsid = f"{ctx.config.namespace}.track"
    written = await repo.edit(nsid, rkey, change, key=ctx.idempotency_key, request=request)
    return {**told(written), **await seen(ctx, "track", ctx.views.tracks, written.uri)}


async def delete_track(ctx: Context, *, uri: str) -> dict[str, Any]:
    """Answer `feed.deleteTrack`."""
    repo, rkey = await ctx.repo(), await own_key(ctx, uri, "track")
    return told(await repo.delete(f"{ctx.config.namespace}.track", rkey, key=ctx.idempotency_key))
