import time

import pytest

from appview.accounts.oauth.scopes import MAX_GIVEN
from lexicons.catalog import shipped
from xrpc.http.account.words import in_words

EVERYTHING = (
    "Create, change and delete tracks, likes, comments, playlists and albums, your profile as an artist and feeds."
)
OURS = "&".join(
    f"collection=fm.plyr.{name}" for name in ("list", "track", "like", "comment", "actor.profile", "feed.generator")
)


@pytest.mark.parametrize(
    ("scope", "may"),
    [
        ("atproto", ["Know that this account is yours."]),
        (f"repo?{OURS}", [EVERYTHING]),
        ("repo:*", ["Create, change and delete any record in your repository."]),
        (
            "repo:fm.plyr.like?action=create repo:fm.plyr.like?action=delete repo:fm.plyr.track?action=update",
            ["Change tracks.", "Create and delete likes."],
        ),
        ("repo:app.bsky.feed.post", ["Create, change and delete app.bsky.feed.post."]),
        ("blob:audio/* blob:image/*", ["Upload audio and images."]),
        ("blob:*/*", ["Upload files of any kind."]),
        ("blob?accept=image/png&accept=audio/*", ["Upload audio and image/png."]),
        ("rpc:a.b.c?aud=did:web:a.test%23x", ["Call a.b.c of did:web:a.test#x in your name."]),
        ("account:email", ["See your e-mail address."]),
        ("foo:bar", ["Something else: foo:bar"]),
        ("", []),
    ],
)
def test_what_a_scope_grants(scope: str, may: list[str]) -> None:
    assert list(in_words(scope, shipped(), "fm.plyr").may) == may


def test_what_is_far_too_much_is_said_to_be() -> None:
    words = in_words("atproto transition:generic", shipped(), "fm.plyr")
    assert any("nearly all that you can do yourself" in one for one in words.may)
    assert words.lacks == ()


def test_what_is_lacking() -> None:
    assert in_words(f"atproto repo?{OURS} blob:audio/* blob:image/*", shipped(), "fm.plyr").lacks == ()
    lacks = in_words("atproto repo:fm.plyr.like?action=create blob:audio/*", shipped(), "fm.plyr").lacks
    assert "change or delete likes" in lacks
    assert "create, change or delete comments" in lacks
    assert "upload images" in lacks


def test_a_scope_of_unheard_of_length_is_cut() -> None:
    words = in_words(" ".join(f"thing{n}:{'x' * 250}" for n in range(60)), shipped(), "fm.plyr")
    assert len(words.may) == 31
    assert max(map(len, words.may)) < 300


@pytest.mark.parametrize("token", ["repo:a.b.c{n}", "blob?accept=a/{n}", "rpc:a.b.c{n}?aud=*", "include:a.b.c{n}"])
def test_the_longest_that_a_server_can_give_takes_no_time_to_speak_of(token: str) -> None:
    """Nobody else is answered meanwhile."""
    scope, catalog = " ".join(token.format(n=f"{n:04}") for n in range(450))[:MAX_GIVEN], shipped()
    assert len(scope) > MAX_GIVEN * 0.7

    def seconds() -> float:
        began = time.process_time()
        in_words(scope, catalog, "fm.plyr")
        return time.process_time() - began

    assert min(seconds() for _ in range(5)) < 0.03
