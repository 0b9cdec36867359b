"""What scopes grant, by the grammar of permissions and not by their text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appview.accounts.oauth.scopes import (
    ACTIONS,
    BlobNeed,
    Need,
    RepoNeed,
    RpcNeed,
    expand,
    missing,
    overlap,
    permissions,
    permits,
    set_tokens,
    tokens,
)
from lexicons.catalog import shipped
from lexicons.publication import full_access

LIKE = RepoNeed("fm.plyr.like", "create")
MP3 = BlobNeed("audio/mpeg")
CALL = RpcNeed("fm.plyr.feed.getFeed", "did:web:localhost%3A8080#plyr_appview")

GRANTS: list[tuple[str, Need]] = [
    ("atproto repo:fm.plyr.like", LIKE),
    ("repo:fm.plyr.like?action=create", LIKE),
    ("repo:fm.plyr.like?action=delete&action=create", LIKE),
    ("repo?collection=fm.plyr.like", LIKE),
    ("repo?collection=fm.plyr.track&collection=fm.plyr.like&action=create", LIKE),
    ("repo?action=create&collection=fm.plyr.like", LIKE),
    ("repo:fm.plyr.like?", LIKE),
    ("repo:*", LIKE),
    ("repo:*?action=create", LIKE),
    ("repo:fm%2Eplyr.like", LIKE),
    ("transition:generic", LIKE),
    ("blob:audio/*", MP3),
    ("blob:*/*", MP3),
    ("blob:audio/mpeg", MP3),
    ("blob:audio/mpeg", BlobNeed("Audio/Mpeg; codecs=mp3")),
    ("blob?accept=image/*&accept=audio/*", MP3),
    ("blob:image/svg+xml", BlobNeed("image/svg+xml")),
    ("blob?accept=image/svg%2Bxml", BlobNeed("image/svg+xml")),
    ("transition:generic", MP3),
    ("rpc:fm.plyr.feed.getFeed?aud=*", CALL),
    ("rpc:*?aud=did:web:localhost%253A8080%23plyr_appview", CALL),
    ("rpc?lxm=fm.plyr.feed.getFeed&lxm=fm.plyr.feed.getTracks&aud=*", CALL),
    ("transition:generic", CALL),
]


@pytest.mark.parametrize(("scope", "need"), GRANTS)
def test_what_grants(scope: str, need: Need) -> None:
    assert permits(scope, need)
    assert permits(f"atproto account:email {scope}", need)
    assert missing(scope, [need]) == []


DOES_NOT: list[tuple[str, Need]] = [
    ("", LIKE),
    ("atproto", LIKE),
    ("transition:email transition:chat.bsky account:repo identity:*", LIKE),
    ("repo:fm.plyr.track", LIKE),
    ("repo:fm.plyr.like?action=delete", LIKE),
    ("repo:fm.plyr.*", LIKE),
    ("repo:fm.plyr", LIKE),
    ("repo:FM.PLYR.LIKE", RepoNeed("fm.plyr.LIKE", "create")),
    ("REPO:fm.plyr.like", LIKE),
    ("repo:", LIKE),
    ("repo", LIKE),
    ("repo:fm.plyr.like?action=", LIKE),
    ("repo:fm.plyr.like?action=*", LIKE),
    ("repo:fm.plyr.like?action=create&action=erase", LIKE),
    ("repo:fm.plyr.like?action=Create", LIKE),
    ("repo:fm.plyr.like?action=create&x=y", LIKE),
    ("repo:fm.plyr.like?collection=fm.plyr.like", LIKE),
    ("repo:fm.plyr.like&action=create", LIKE),
    ("repo:fm.plyr.like;fm.plyr.track", LIKE),
    ("repo:fm.plyr.like%", LIKE),
    ("repo:fm.plyr.like%ff", LIKE),
    ("repo:fm.plyr.like%20", LIKE),
    ("repo:fm.plyr.like?action=create#delete", LIKE),
    ("repo?action=create", LIKE),
    ("repo?collection=fm.plyr.like&collection=", LIKE),
    ("xrepo:fm.plyr.like", LIKE),
    ("repository:fm.plyr.like", LIKE),
    ("include:fm.plyr.authFullApp", LIKE),
    ("repo:fm.plyr.like\trepo:fm.plyr.like", LIKE),
    ("transition:generic?x=y", LIKE),
    ("Transition:generic", LIKE),
    ("blob:audio/*", LIKE),
    ("blob:image/*", MP3),
    ("blob:audio", MP3),
    ("blob:AUDIO/*", MP3),
    ("blob:*/mpeg", MP3),
    ("blob:*", MP3),
    ("blob:audio/**", MP3),
    ("blob:audio/mpeg/x", MP3),
    ("blob:audio/*;audio/mpeg", MP3),
    ("blob:audio/*?accept=audio/*", MP3),
    ("blob:audio/*", BlobNeed("audio/*")),
    ("blob:*/*", BlobNeed("audio")),
    ("blob:*/*", BlobNeed("")),
    ("blob:audio/*", BlobNeed("audio/")),
    ("blob:audio/*", BlobNeed("audiox/mpeg")),
    ("repo:*", MP3),
    ("rpc:*?aud=*", CALL),
    ("rpc:fm.plyr.feed.getFeed", CALL),
    ("rpc:fm.plyr.feed.getFeed?aud=did:web:localhost%253A8080", CALL),
    ("rpc:fm.plyr.feed.getFeed?aud=did:web:localhost%253A8080%23", CALL),
    ("rpc:fm.plyr.feed.getFeed?aud=did:web:localhost%253A8080%23other", CALL),
    ("rpc:fm.plyr.feed.getFeed?aud=*&aud=*", CALL),
    ("rpc:fm.plyr.feed.*?aud=*", CALL),
    ("rpc:fm.plyr.feed.getTracks?aud=*", CALL),
    ("transition:generic", RpcNeed("chat.bsky.convo.getLog", "did:web:api.bsky.chat#bsky_chat")),
]


@pytest.mark.parametrize(("scope", "need"), DOES_NOT)
def test_what_does_not_grant(scope: str, need: Need) -> None:
    assert not permits(scope, need)
    assert missing(f"atproto {scope}", [need]) == [need]


@pytest.mark.parametrize("need", [LIKE, MP3, CALL, RepoNeed("fm.plyr.track", "update")])
def test_the_text_of_a_need_grants_it_and_no_more(need: Need) -> None:
    assert permits(str(need), need)
    others = [one for one in (LIKE, MP3, CALL, RepoNeed("fm.plyr.track", "update")) if one != need]
    assert missing(str(need), others) == others


def test_a_set_that_a_server_leaves_by_its_name() -> None:
    sets = {"fm.plyr.authFullApp": ["repo:fm.plyr.like", "repo:fm.plyr.track"]}
    written = expand("atproto include:fm.plyr.authFullApp?aud=did:web:a%23b include:other.set repo:fm.plyr.like", sets)
    assert tokens(written) == [
        "atproto",
        "include:fm.plyr.authFullApp?aud=did:web:a%23b",
        "repo:fm.plyr.like",
        "repo:fm.plyr.track",
        "include:other.set",
    ]
    assert permits(written, LIKE)
    assert not permits(expand("include:fm.plyr.authFullApp?x=y", sets), LIKE)


def test_a_set_grants_nothing_outside_its_group() -> None:
    ours = full_access(shipped(), "fm.plyr")
    assert "repo:fm.plyr.track" in set_tokens(ours)
    assert "repo:fm.plyr.actor.profile" in set_tokens(ours)
    stretched = {
        "id": "fm.plyr.actor.set",
        "defs": {
            "main": {
                "permissions": [
                    {"resource": "repo", "collection": ["fm.plyr.track", "fm.plyr.actor.profile", "*"]},
                    {"resource": "repo", "collection": ["fm.plyr.actor.x"], "action": ["delete", "create"]},
                    {"resource": "blob", "accept": ["*/*"]},
                    {"resource": "rpc", "lxm": ["fm.plyr.actor.get"], "aud": "*"},
                ]
            }
        },
    }
    assert set_tokens(stretched) == [
        "repo:fm.plyr.actor.profile",
        "repo:fm.plyr.actor.x?action=create&action=delete",
    ]


OVERLAPS = [
    ("repo:fm.plyr.like", "repo:*?action=create", True),
    ("repo:fm.plyr.like?action=delete", "repo:fm.plyr.like?action=create", False),
    ("repo:fm.plyr.like", "repo:fm.plyr.track", False),
    ("blob:audio/*", "blob:audio/mpeg", True),
    ("blob:audio/*", "blob?accept=image/*&accept=*/*", True),
    ("blob:audio/*", "blob:image/*", False),
    ("blob:*/*", "repo:*", False),
    ("transition:generic", "repo:fm.plyr.like", True),
    ("rpc:a.b.c?aud=*", "rpc:*?aud=did:web:a.com%23x", True),
    ("rpc:a.b.c?aud=*", "rpc:a.b.d?aud=*", False),
]


@pytest.mark.parametrize(("one", "other", "do"), OVERLAPS)
def test_overlap(one: str, other: str, do: bool) -> None:
    (first,), (second,) = permissions(one), permissions(other)
    assert overlap(first, second) is do
    assert overlap(second, first) is do


def test_a_scope_of_unheard_of_size_grants_nothing() -> None:
    assert not permits("repo:fm.plyr.like " + " ".join(f"x{n}" for n in range(600)), LIKE)
    assert not permits("repo:fm.plyr.like " + "x" * 40_000, LIKE)


@given(st.text(alphabet=" :?&=%#*./+repoblbcintdgfmyk23", max_size=60), st.sampled_from([LIKE, MP3, CALL]))
def test_no_text_breaks_it(text: str, need: Need) -> None:
    permits(text, need)


@given(st.sets(st.sampled_from(ACTIONS), min_size=1), st.sampled_from(ACTIONS))
def test_actions(granted: set[str], action: str) -> None:
    scope = "repo:fm.plyr.like?" + "&".join(f"action={one}" for one in sorted(granted))
    assert permits(scope, RepoNeed("fm.plyr.like", action)) is (action in granted)  # type: ignore[arg-type]
