"""`fm.plyr.feed.generator`: a feed that a service answers for."""

from typing import NamedTuple

from appview.index.records import fields
from appview.index.records.base import Incoming, RecordType, Row
from appview.index.records.fields import Blob, Value


class Generator(NamedTuple):
    """A feed as it can be shown; `service` is the DID that answers for it."""

    service: str
    display_name: str
    description: str | None
    avatar: Blob | None
    accepts_interactions: bool


def read(value: Value) -> Generator:
    """The feed in `value`, whatever is wrong with it. Never raises."""
    return Generator(
        fields.did(value, "did") or "",
        fields.text(value, "displayName", 2400) or "",
        fields.text(value, "description", 30_000),
        fields.blob(value, "avatar"),
        value.get("acceptsInteractions") is True,
    )


class Generators(RecordType):
    """The feeds there are."""

    name = "generator"
    signal = True
    table = "generators"
    columns = "uri text, did text, service text, display_name text, sort_at timestamptz"

    def row(self, record: Incoming) -> Row:
        """The row that shows `record`."""
        generator = read(record.value)
        return record.uri, record.did, generator.service, generator.display_name, record.sort_at
