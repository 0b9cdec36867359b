"""What this app asks for, and more of it when more is needed."""

import pytest

from appview.accounts.oauth.asking import Asking
from appview.accounts.oauth.scopes import ACTIONS, BlobNeed, Need, RepoNeed, missing, permits, tokens
from lexicons.catalog import shipped

ASKING = Asking(shipped(), "fm.plyr")
LIKE = RepoNeed("fm.plyr.like", "create")
ALL: list[Need] = [
    *(RepoNeed(f"fm.plyr.{name}", action) for name in ("track", "like", "comment", "list") for action in ACTIONS),
    *(RepoNeed(f"fm.plyr.{name}", "update") for name in ("actor.profile", "feed.generator")),
    BlobNeed("audio/flac"),
    BlobNeed("image/png"),
]


def test_what_is_asked_for() -> None:
    assert ASKING.everything == "atproto blob:audio/* blob:image/* include:fm.plyr.authFullApp"
    assert missing(ASKING.one_by_one, ALL) == []
    assert missing(ASKING.as_granted(ASKING.everything), ALL) == []
    for need in (RepoNeed("app.bsky.feed.post", "create"), RepoNeed("*", "create"), BlobNeed("video/mp4")):
        assert not permits(ASKING.one_by_one, need)
    for scope in (ASKING.everything, ASKING.one_by_one, ASKING.generic):
        assert set(tokens(scope)) <= set(ASKING.superset.split(" "))
    assert len(set(ASKING.superset.split(" "))) == len(ASKING.superset.split(" "))  # a PDS refuses repetitions


def test_another_namespace() -> None:
    asking = Asking(shipped("fm.plyr.stg"), "fm.plyr.stg")
    assert "include:fm.plyr.stg.authFullApp" in asking.everything
    assert permits(asking.one_by_one, RepoNeed("fm.plyr.stg.like", "create"))
    assert not permits(asking.one_by_one, LIKE)


def test_the_ladder() -> None:
    assert ASKING.ladder(None, {"atproto"}) == [ASKING.everything, ASKING.one_by_one]
    assert ASKING.ladder(None, {"transition:generic"})[-1] == "atproto transition:generic"
    assert ASKING.ladder("atproto", {"transition:generic"}) == ["atproto"]
    assert ASKING.ladder("atproto repo:fm.plyr.like", {"transition:generic"}) == [
        "atproto repo:fm.plyr.like",
        "atproto transition:generic",
    ]
    assert ASKING.ladder(ASKING.generic, {"transition:generic"}) == [ASKING.generic]


@pytest.mark.parametrize("scope", ["repo:fm.plyr.like", "atproto repo:*", "atproto transition:email", " ", "atproto x"])
def test_what_this_app_never_asks_for(scope: str) -> None:
    with pytest.raises(ValueError, match="does not declare"):
        ASKING.ladder(scope, ())


STEPS = [
    ("atproto", [LIKE], "atproto repo:fm.plyr.like"),
    ("atproto blob:image/png", [LIKE], "atproto blob:image/* repo:fm.plyr.like"),
    ("atproto repo:fm.plyr.track?action=delete", [LIKE], "atproto repo:fm.plyr.like repo:fm.plyr.track"),
    ("atproto", ALL, ASKING.everything),
    (ASKING.one_by_one, [LIKE], ASKING.everything),
    ("atproto repo?collection=fm.plyr.like&collection=app.bsky.feed.post", [], "atproto repo:fm.plyr.like"),
    (ASKING.generic, [LIKE], ASKING.everything),
    ("atproto", [RepoNeed("app.bsky.feed.post", "create")], None),
    ("atproto", [BlobNeed("video/mp4"), LIKE], None),
]


@pytest.mark.parametrize(("held", "needs", "asked"), STEPS)
def test_step_up(held: str, needs: list[Need], asked: str | None) -> None:
    scope = ASKING.step_up(held, needs)
    assert scope == asked
    if scope is not None:
        assert ASKING.ladder(scope, ())  # it may be asked for
        assert missing(ASKING.as_granted(scope), needs) == []


def test_again() -> None:
    assert ASKING.again(ASKING.everything, "atproto") == "atproto transition:generic"
    assert ASKING.again(ASKING.everything, "atproto account:email transition:email") == "atproto transition:generic"
    assert ASKING.again(ASKING.everything, "atproto blob:audio/*") is None
    assert ASKING.again("atproto", "atproto") is None
    assert ASKING.again(ASKING.generic, "atproto") is None
