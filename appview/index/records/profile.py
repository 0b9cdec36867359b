"""`fm.plyr.actor.profile`: what an account says about itself here."""

from typing import NamedTuple

from appview.index.records import fields
from appview.index.records.base import Incoming, RecordType, Row
from appview.index.records.fields import Value


class Profile(NamedTuple):
    """A profile as it can be shown; `avatar` is the address of a picture."""

    bio: str | None
    avatar: str | None


def read(value: Value) -> Profile:
    """The profile in `value`, whatever is wrong with it. Never raises."""
    return Profile(fields.text(value, "bio", 25_600), fields.web_url(value, "avatar"))


class Profiles(RecordType):
    """The profiles there are, one of an account."""

    name = "profile"
    signal = True
    table = "profiles"
    columns = "uri text, did text, bio text, avatar text"

    def row(self, record: Incoming) -> Row:
        """The row that shows `record`."""
        return record.uri, record.did, *read(record.value)
