"""`app.bsky.actor.profile`: the name and the picture that an account has on Bluesky, which we show too."""

from typing import NamedTuple

from appview.index.counts import Changes
from appview.index.records import fields
from appview.index.records.base import Incoming, RecordType, Row
from appview.index.records.fields import Value
from lexicons.data import CID, DataError


class BskyProfile(NamedTuple):
    """A profile as it can be shown; `avatar_cid` names a blob in the account's repository."""

    display_name: str | None
    description: str | None
    avatar_cid: str | None


def read(value: Value) -> BskyProfile:
    """The profile in `value`, whatever is wrong with it. Never raises."""
    return BskyProfile(
        fields.text(value, "displayName", 6400), fields.text(value, "description", 25_600), _avatar_cid(value)
    )


def _avatar_cid(value: Value) -> str | None:
    blob = fields.blob(value, "avatar")
    if blob is not None:
        return str(blob.cid)
    # As it was written until 2023 (DM-05).
    avatar = value.get("avatar")
    cid = avatar.get("cid") if type(avatar) is dict and "ref" not in avatar else None
    try:
        return str(CID.parse(cid)) if type(cid) is str else None
    except DataError:
        return None


class BskyProfiles(RecordType):
    """The profiles there are, one of an account."""

    name = "bsky_profile"
    signal = False
    table = "bsky_profiles"
    columns = "uri text, did text, display_name text, description text, avatar_cid text, labelled boolean"

    def row(self, record: Incoming) -> Row:
        """The row that shows `record`."""
        return record.uri, record.did, *read(record.value), bool(fields.labels(record.value))

    def count(self, changes: Changes, row: Row, n: int) -> None:
        """The account is found by the name that it has there."""
        super().count(changes, row, n)
        changes.documents.account(row[1])
