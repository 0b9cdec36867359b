"""Who is blind: what an upstream owes, what clears it, and what nobody can make of it."""

from collections import Counter
from itertools import count

import pytest

from ingester.witness import MAX_AWAITED, MAX_MISSED, MIN_ACCOUNTS, MIN_COMMITS, Witness

A, B, C = "wss://a.test", "wss://b.test", "wss://c.test"
GRACE, BLIND = 30.0, 180.0
ACCOUNTS = 5


class Scene:
    """Three upstreams, relays where nothing else is said, all of them read as they come, and a clock."""

    def __init__(self, *, relays: tuple[str, ...] = (A, B, C), steady: tuple[str, ...] = (A, B, C)) -> None:
        self.now = 1_000.0
        self.missed: Counter[str] = Counter()
        self.hosts: dict[str, str] = {}
        self.steady = dict.fromkeys(steady, 0.0)
        self.witness = Witness((A, B, C), self._pds_of, self.missed, lambda: self.now)
        self._revs = count()
        for url in relays:
            self.witness.recognize(url, is_pds=False)

    def _pds_of(self, did: str) -> str | None:
        return self.hosts.get(did)

    def commit(self, *urls: str, account: int | None = None) -> tuple[str, str]:
        """A commit that the first of these brings, and the others repeat."""
        number = next(self._revs)
        did, rev = f"did:plc:{number % ACCOUNTS if account is None else account}", f"rev{number:06}"
        self.witness.proven(urls[0], did, rev)
        for url in urls[1:]:
            self.witness.repeated(url, did, rev, is_held=False)
        return did, rev

    def blind(self) -> list[str]:
        verdicts = self.witness.settle(self.steady, grace=GRACE, blind=BLIND)
        return [verdict.url for verdict in verdicts]

    def later(self, seconds: float) -> list[str]:
        """Who turns out to be blind in these seconds."""
        found = []
        for _ in range(int(seconds)):
            self.now += 1.0
            found += self.blind()
        return found

    def silence(self, *urls: str, commits: int = MIN_COMMITS, accounts: int = ACCOUNTS, seconds: float = 240) -> None:
        """Commits over a while, brought by these alone."""
        for number in range(commits):
            self.commit(*urls, account=number % accounts)
            self.now += seconds / commits


def test_one_that_brings_nothing_of_what_the_others_bring_is_blind() -> None:
    scene = Scene()
    scene.silence(A, C)
    assert scene.later(GRACE + 1) == [B]
    assert scene.missed == {B: MIN_COMMITS}
    # It is said once; should it stay so, once more.
    assert scene.later(600) == []
    scene.silence(A, C)
    assert scene.later(GRACE + 1) == [B]


@pytest.mark.parametrize(
    "few",
    [{"commits": MIN_COMMITS - 1}, {"accounts": MIN_ACCOUNTS - 1}, {"seconds": 100}],
    ids=["commits", "accounts", "minutes"],
)
def test_of_little_nothing_follows(few: dict[str, int]) -> None:
    scene = Scene()
    scene.silence(A, C, **few)
    assert scene.later(GRACE + 1) == []


def test_one_that_brought_a_single_one_of_them_is_not_blind_and_what_it_missed_is_counted() -> None:
    scene = Scene()
    scene.silence(A, C)
    scene.commit(A, B, C)
    assert scene.later(GRACE + 1) == []
    assert scene.missed == {B: MIN_COMMITS}


def test_one_that_is_merely_late_is_not_blind() -> None:
    scene = Scene()
    commits = []
    for _ in range(MIN_COMMITS):
        commits.append(scene.commit(A, C))
        scene.later(12)
        # Half a minute behind the grace, in order.
        if len(commits) > 5:
            scene.witness.repeated(B, *commits[-5], is_held=False)
    assert scene.later(GRACE + 1) == []
    assert scene.missed[B] >= MIN_COMMITS / 2


def test_what_comes_late_is_nothing_that_others_owe_once_more() -> None:
    scene = Scene()
    commit = scene.commit(A, B)
    scene.later(GRACE + 1)
    # While its repository is fetched a commit is proven each time that it comes.
    scene.witness.proven(C, *commit)
    scene.later(GRACE + 1)
    assert scene.missed == {C: 1}


@pytest.mark.parametrize("since", [None, 1_010.0])
def test_nothing_is_expected_of_one_that_is_away_behind_or_held_up(since: float | None) -> None:
    scene = Scene(steady=(A, C))
    if since is not None:
        scene.steady[B] = since
    for _ in range(MIN_COMMITS):
        scene.commit(A, C)
    assert scene.later(600) == []
    assert not scene.missed


def test_a_pds_owes_the_commits_of_its_own_accounts_alone() -> None:
    scene = Scene(relays=(A, C))
    scene.witness.recognize(B, is_pds=True)
    scene.silence(A, C)
    assert scene.later(600) == []
    assert not scene.missed
    scene.hosts.update({f"did:plc:{number}": "https://b.test" for number in range(ACCOUNTS)})
    scene.silence(A, C)
    assert scene.later(GRACE + 1) == [B]


def test_nothing_is_expected_of_one_of_which_it_is_not_known_what_it_is() -> None:
    scene = Scene(relays=(A, C))
    scene.silence(A, C)
    assert scene.later(600) == []


def test_one_that_is_the_pds_of_an_account_is_no_relay_whatever_it_says() -> None:
    scene = Scene()
    scene.hosts["did:plc:0"] = "https://b.test"
    scene.commit(A, B, C, account=0)
    scene.silence(A, C, accounts=ACCOUNTS)
    scene.witness.recognize(B, is_pds=False)
    assert scene.later(600) == []
    assert scene.missed == {B: MIN_COMMITS / ACCOUNTS}
    assert not scene.witness.is_relay(B)


def test_nobody_is_made_blind_by_what_was_not_proven() -> None:
    scene = Scene()
    for number in range(10 * MIN_COMMITS):
        scene.witness.repeated(A, f"did:plc:{number % ACCOUNTS}", f"forged{number}", is_held=False)
        scene.now += 10
    assert scene.later(600) == []
    assert not scene.missed


def test_who_brings_what_is_held_is_not_blind_though_a_flood_hides_it() -> None:
    scene = Scene()
    found = []
    for number in range(3 * MAX_AWAITED):
        scene.commit(A, C)
        scene.now += 0.01
        if not number % 1_000:
            scene.witness.repeated(B, "did:plc:other", f"rev{number}", is_held=True)
            found += scene.blind()
    assert found == []


def test_a_flood_takes_bounded_memory_and_the_blind_are_still_found() -> None:
    scene = Scene()
    found = []
    for number in range(5 * MAX_AWAITED):
        scene.commit(A, C)
        scene.now += 0.005
        if not number % 200:
            found += scene.blind()
            assert len(scene.witness._hosts[B].missed) <= MAX_MISSED
    assert found == [B]
    for _ in range(2 * MAX_AWAITED):
        scene.commit(A, C)
    assert max(len(scene.witness._awaited), len(scene.witness._settled)) <= MAX_AWAITED


def test_a_single_upstream_costs_nothing() -> None:
    witness = Witness((A,), lambda _: None, Counter(), lambda: 0.0)
    witness.proven(A, "did:plc:1", "rev")
    assert not witness._awaited
