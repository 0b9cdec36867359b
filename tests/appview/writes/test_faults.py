"""Whatever a PDS does: nothing twice, nothing lost, nothing shown that is not in the repository."""

import pytest

from tests.appview.writes.faults import KINDS, SCENARIOS, play
from tests.appview.writes.stand import Stand


@pytest.mark.parametrize("kind", KINDS)
async def test_faults(here: Stand, kind: str) -> None:
    rows = [await play(here, kind, scenario) for scenario in SCENARIOS]
    assert {row.about: row.wrong for row in rows if row.wrong} == {}
    answers = {row.about: row.answer for row in rows}
    for about in ("reply lost", "answers 500 after doing it", "answers 500 without doing it, once"):
        assert answers[about] == "done"
    assert answers["PDS is down"] == "PdsAway"
    assert answers["asks for a pause (429)"] == "RateLimited"
    assert answers["answers 500 without doing it, always"] == "PdsRefused"
    # An edit begins with a look.
    assert answers["reply lost, PDS cannot be read"] == ("PdsAway" if kind == "edit" else "Unsettled")
