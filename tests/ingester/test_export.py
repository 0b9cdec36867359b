"""A whole repository from its file: nothing of it is believed unless all of it is there."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ingester.export import Entry, Export, opened
from ingester.repo.errors import CarError, ProofError, RepoError
from tests.ingester.world import track
from tests.writer.car import read_car, section
from tests.writer.repo import Repo, Write

OURS = ("fm.plyr.track", "fm.plyr.like")
# The slash sorts before every letter and figure of a name, and so do the hyphen and the dot.
PATHS = sorted(
    f"{collection}/{rkey}"
    for collection in ("fm.plyr.like", "fm.plyr.track", "fm.plyr.track-x", "fm.plyr.tracks", "app.bsky.feed.post")
    for rkey in ("self", "3jzfcijpj2z2a", "a.b", "a-b", "a_b", "a:b", "A", "0", "~")
)


def export_of(paths: list[str]) -> bytes:
    repo = Repo("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", None)
    repo.commit([Write("create", path, track(path)) for path in paths])
    return repo.export()


@contextmanager
def file_of(data: bytes) -> Iterator[Export]:
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        with opened(file) as export:
            yield export


async def entries(data: bytes, collections: tuple[str, ...] = OURS) -> list[Entry]:
    with file_of(data) as export:
        await export.index()
        await export.prove(collections)
        return [entry async for entry in export.entries(collections)]


async def test_the_records_that_were_asked_for_in_the_order_of_their_paths() -> None:
    found = await entries(export_of(PATHS))
    assert [entry.path for entry in found] == [path for path in PATHS if path.partition("/")[0] in OURS]
    assert await entries(export_of([])) == []


async def test_their_bytes_are_those_of_their_cid() -> None:
    with file_of(export_of(PATHS)) as export:
        await export.index()
        async for path, cid in export.entries(OURS):
            assert path.encode() in export.record(cid)
        with pytest.raises(ProofError):
            export.record(bytes(36))


async def test_cut_off_behind_any_block_it_proves_nothing() -> None:
    data = export_of(PATHS[:30])
    sections = [section(block) for block in read_car(data).blocks]
    at = len(data) - sum(map(len, sections))
    assert len(sections) > 30
    for part in sections:
        with pytest.raises(RepoError):
            await entries(data[:at], tuple({path.partition("/")[0] for path in PATHS}))
        at += len(part)
    assert at == len(data)


async def test_without_any_one_of_its_blocks_it_proves_nothing() -> None:
    data = export_of(PATHS[:30])
    for part in {section(block) for block in read_car(data).blocks}:
        with pytest.raises(RepoError):
            await entries(data.replace(part, b""), tuple({path.partition("/")[0] for path in PATHS}))


async def test_an_empty_file_is_no_export() -> None:
    with pytest.raises(CarError), tempfile.TemporaryFile() as file, opened(file):
        pass
