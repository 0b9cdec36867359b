"""Feed generators as views."""

from collections.abc import Sequence

from appview.db import Connection
from appview.index.records import fields
from appview.index.records.generator import read
from appview.reads.views.media import Media
from appview.reads.views.people import PERSON, PROFILES, People
from appview.reads.views.stored import COLUMNS, Stored, View, labels_of, open_records
from appview.reads.visibility import visible


async def load_generators(connection: Connection, uris: Sequence[str], people: People) -> dict[str, Stored]:
    """Which of these are feed generators that may be shown? Their authors are added to `people`. One statement."""
    rows = await connection.fetch(
        f"""
        select {COLUMNS}, {PERSON} from unnest($1::text[]) as asked (uri)
        join generators on generators.uri = asked.uri join records on records.uri = generators.uri
        join actors on actors.did = generators.did {PROFILES}
        where {visible("generators.did")}
        """,  # noqa: S608 - names of our own
        list(set(uris)),
    )
    for row in rows:
        people.add(row["did"], row)
    return open_records(rows, uris)


def generator_view(stored: Stored, people: People, media: Media) -> View | None:
    """`feed.defs#generatorView`."""
    author = people.basic(stored.did)
    if author is None:
        return None
    row, generator = stored.row, read(stored.value)
    avatar = generator.avatar
    optional = {
        "description": generator.description,
        "avatar": media.blob(row["pds"], stored.did, str(avatar.cid)) if avatar is not None else None,
        "acceptsInteractions": generator.accepts_interactions,
        "labels": labels_of(stored.uri, row["cid"], row["sort_at"], fields.labels(stored.value)),
    }
    view = stored.by(author) | {"did": generator.service, "displayName": generator.display_name}
    return view | {name: part for name, part in optional.items() if part}
