"""Heads that hosts name and do not give, are not fetched for again soon."""

from datetime import UTC, datetime, timedelta

import pytest

from appview.index.repos import Chain
from ingester.promises import ANOTHER, REMEMBERED, THE_SAME, Promises
from tests.writer.repo import tid

DID = "did:web:artist.test"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
HELD, PROMISED, NEWER = (tid(1_750_000_000_000_000 + number, 7) for number in range(3))


def at(rev: str | None, fetched_at: datetime | None) -> Chain:
    chain = Chain(DID, "synchronized", rev, b"", b"", None, "fetched", "fetch")
    return chain._replace(fetched_at=fetched_at)


@pytest.mark.parametrize(
    ("chain", "rev", "after", "is_empty"),
    [
        (at(HELD, NOW + SECOND), PROMISED, SECOND, True),
        (at(HELD, NOW + SECOND), PROMISED, THE_SAME - SECOND, True),
        (at(HELD, NOW + SECOND), PROMISED, THE_SAME, False),
        (at(HELD, NOW + SECOND), NEWER, ANOTHER - SECOND, True),
        (at(HELD, NOW + SECOND), NEWER, ANOTHER, False),
        # It is not fetched yet, or has brought what was promised.
        (at(HELD, NOW - SECOND), PROMISED, SECOND, False),
        (at(HELD, None), PROMISED, SECOND, False),
        (at(PROMISED, NOW + SECOND), NEWER, SECOND, False),
    ],
)
def test_what_was_not_given_is_not_asked_for_again_soon(
    chain: Chain, rev: str, after: timedelta, is_empty: bool
) -> None:
    promises = Promises()
    assert not promises.is_empty(chain, rev, NOW)
    promises.made(DID, PROMISED, NOW)
    assert promises.is_empty(chain, rev, NOW + after) == is_empty


def test_only_so_many_are_remembered() -> None:
    promises = Promises()
    for number in range(REMEMBERED + 1):
        promises.made(f"did:web:{number}.test", PROMISED)
    assert len(promises) == REMEMBERED
