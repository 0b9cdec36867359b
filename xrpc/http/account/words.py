"""A granted scope in words that people know, and what it lacks of what this app is for (OA-40, OA-44). Pure."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from appview.accounts.oauth.scopes import (
    ACTIONS,
    ATPROTO,
    Action,
    BlobNeed,
    BlobPermission,
    Permission,
    RepoNeed,
    RepoPermission,
    RpcPermission,
    Transition,
    missing,
    permissions,
    tokens,
)
from lexicons.catalog import Catalog

RECORDS: Final[Mapping[str, str]] = {
    "track": "tracks",
    "like": "likes",
    "comment": "comments",
    "list": "playlists and albums",
    "actor.profile": "your profile as an artist",
    "feed.generator": "feeds",
}
"""What this app writes, by the names of the collections below its namespace; others are called by their NSIDs."""
UPLOADS: Final[Mapping[str, str]] = {"audio": "audio", "image": "images"}

_VERBS: Final[Mapping[str, str]] = {"create": "create", "update": "change", "delete": "delete"}
_FIXED: Final[Mapping[str, str]] = {
    ATPROTO: "Know that this account is yours.",
    "transition:email": "See your e-mail address.",
    "account:email": "See your e-mail address.",
    "transition:chat.bsky": "Read and write your private messages on Bluesky.",
    "identity:handle": "Change your handle.",
}
_GENERIC: Final = (
    "Do nearly all that you can do yourself: write and delete any record, upload any file, and call other services in "
    "your name. Your server knows no finer permissions; this app uses it for its own records only."
)
_MAX_LINES: Final = 30
_MAX_TOKEN: Final = 200


class Words(NamedTuple):
    """Sentences: what this app may do, and what it may not that it could be allowed."""

    may: tuple[str, ...]
    lacks: tuple[str, ...]


def in_words(scope: str, catalog: Catalog, namespace: str) -> Words:
    """What `scope` grants, and what it lacks, for an app whose records are those of `catalog` below `namespace`."""
    ours = {nsid.removeprefix(f"{namespace}.") for nsid in catalog.nsids("record") if nsid.startswith(f"{namespace}.")}
    names = [*(name for name in RECORDS if name in ours), *sorted(ours - RECORDS.keys())]
    records = {f"{namespace}.{name}": RECORDS.get(name, f"{namespace}.{name}") for name in names}
    held = permissions(scope)
    may = [
        *([_FIXED[ATPROTO]] if ATPROTO in tokens(scope) else []),
        *_transition(held),
        *_records(held, records),
        *_uploads(held),
        *_calls(held),
        *_others(scope),
    ]
    if len(may) > _MAX_LINES:
        may = [*may[:_MAX_LINES], f"And {len(may) - _MAX_LINES} things more, by the exact scope."]
    return Words(tuple(may), tuple(_lacks(scope, records)))


def _transition(held: Iterable[Permission]) -> list[str]:
    return [_GENERIC] if any(isinstance(permission, Transition) for permission in held) else []


def _records(held: Iterable[Permission], records: Mapping[str, str]) -> list[str]:
    allowed: dict[str, set[str]] = {}
    for permission in held:
        if isinstance(permission, RepoPermission):
            for collection in sorted(permission.collections):
                allowed.setdefault(collection, set()).update(permission.actions)
    by_actions: dict[tuple[Action, ...], list[str]] = {}
    # Ours first, in the order of the table.
    for collection in sorted(allowed, key=lambda one: ([*records, one].index(one), one)):
        actions = tuple(action for action in ACTIONS if action in allowed[collection])
        what = "any record in your repository" if collection == "*" else records.get(collection, collection)
        by_actions.setdefault(actions, []).append(what)
    return [f"{_verbs(actions, 'and').capitalize()} {_joined(what, 'and')}." for actions, what in by_actions.items()]


def _uploads(held: Iterable[Permission]) -> list[str]:
    accepted = {accept for permission in held if isinstance(permission, BlobPermission) for accept in permission.accept}
    if not accepted:
        return []
    if "*/*" in accepted:
        return ["Upload files of any kind."]
    known = [words for kind, words in UPLOADS.items() if f"{kind}/*" in accepted]
    return [f"Upload {_joined([*known, *sorted(accepted - {f'{kind}/*' for kind in UPLOADS})], 'and')}."]


def _calls(held: Iterable[Permission]) -> list[str]:
    return [
        f"Call {'any method' if '*' in permission.methods else _joined(sorted(permission.methods), 'and')} of "
        f"{'any service' if permission.audience == '*' else permission.audience} in your name."
        for permission in held
        if isinstance(permission, RpcPermission)
    ]


def _others(scope: str) -> list[str]:
    """What is not a permission over records, files or calls."""
    others = [token for token in tokens(scope) if token != ATPROTO and not permissions(token)]
    return [_FIXED.get(token) or f"Something else: {token[:_MAX_TOKEN]}" for token in others]


def _lacks(scope: str, records: Mapping[str, str]) -> list[str]:
    needs = [RepoNeed(collection, action) for collection in records for action in ACTIONS]
    # Of a subtype that no server lists by itself: it takes the whole type.
    lacking = set(missing(scope, [*needs, *(BlobNeed(f"{kind}/x") for kind in UPLOADS)]))
    lacks = []
    for collection, words in records.items():
        actions = tuple(action for action in ACTIONS if RepoNeed(collection, action) in lacking)
        if actions:
            lacks.append(f"{_verbs(actions, 'or')} {words}")
    kinds = [words for kind, words in UPLOADS.items() if BlobNeed(f"{kind}/x") in lacking]
    return [*lacks, *([f"upload {_joined(kinds, 'or')}"] if kinds else [])]


def _verbs(actions: Iterable[Action], word: str) -> str:
    return _joined([_VERBS[action] for action in actions], word)


def _joined(parts: list[str], word: str) -> str:
    return f"{', '.join(parts[:-1])} {word} {parts[-1]}" if len(parts) > 1 else parts[0]
