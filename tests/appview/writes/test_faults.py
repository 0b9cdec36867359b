"""Whatever a PDS does: nothing twice, nothing lost, nothing shown that is not in the repository."""

from typing import Final

import pytest

from tests.appview.writes.faults import KINDS, SCENARIOS, play
from tests.appview.writes.stand import Stand

# Of the command's, those that tell the kinds apart; each costs the time of several writes.
ANSWERS: Final = {
    "reply lost": "done",
    "connection breaks before PDS hears, once": "done",
    "answers 500 without doing it, always": "PdsRefused",
    "a gateway gives up, always, PDS does nothing": "Unsettled",
    "reply lost, PDS cannot be read after": "Unsettled",
}


@pytest.mark.parametrize("kind", KINDS)
async def test_faults(here: Stand, kind: str) -> None:
    rows = [await play(here, kind, scenario) for scenario in SCENARIOS if scenario.about in ANSWERS]
    assert {row.about: row.wrong for row in rows if row.wrong} == {}
    assert {row.about: row.answer for row in rows} == ANSWERS
