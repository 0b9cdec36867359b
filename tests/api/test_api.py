"""No request that the API's document describes, and none that it forbids, is answered otherwise than it says."""

from tests.api.fuzz import fuzz
from xrpc.methods import METHODS


def test_a_few_requests_of_every_kind(database_url: str) -> None:
    run = fuzz(database_url, examples=4)
    assert run.code == 0, run.said
    assert run.cases > 4 * len(METHODS), run.said
