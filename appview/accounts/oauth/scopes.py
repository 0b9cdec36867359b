"""What a granted scope permits, read as permissions and never compared as text (OA-40 to OA-46). Pure.

A server may grant less than was asked, write it in another way, and take the names of sets apart; so each token is
parsed, and what does not parse to the letter grants nothing.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote

from lexicons.formats import is_did, is_nsid

Action = Literal["create", "update", "delete"]

ATPROTO: Final = "atproto"
"""In every scope, and grants no more than to know who somebody is."""
TRANSITION: Final = "transition:generic"
"""What an app password could do: of servers that do not know permissions yet (OA-44)."""
ACTIONS: Final[tuple[Action, ...]] = ("create", "update", "delete")

MAX_GIVEN: Final = 8_192
"""Characters of a scope that a server gives: several times what all permissions of this app come to."""

_MAX_TOKENS: Final = 500
# With what sets grant written out.
_MAX_LENGTH: Final = 2 * MAX_GIVEN
_is_broken = re.compile(r"%(?![0-9A-Fa-f]{2})").search
_is_fragment = re.compile(r"[A-Za-z0-9._~:@!$'()*,;/-]{1,256}").fullmatch


class RepoNeed(NamedTuple):
    """To do `action` to a record of `collection`; a put that may do either needs both create and update (OA-45)."""

    collection: str
    action: Action

    def __str__(self) -> str:
        return f"repo:{self.collection}?action={self.action}"


class BlobNeed(NamedTuple):
    """To upload a blob of the type `mime`, whose parameters do not count."""

    mime: str

    def __str__(self) -> str:
        return f"blob:{_essence(self.mime)}"


class RpcNeed(NamedTuple):
    """To call the method `lxm` of the service `aud`, a DID with its `#service`."""

    lxm: str
    aud: str

    def __str__(self) -> str:
        return f"rpc:{self.lxm}?aud={self.aud.replace('%', '%25').replace('#', '%23')}"


Need = RepoNeed | BlobNeed | RpcNeed
"""One permission; its text is the narrowest scope that grants it."""


@dataclass(frozen=True, slots=True)
class RepoPermission:
    """Writes to collections, of which `*` is all."""

    collections: frozenset[str]
    actions: frozenset[str]

    def grants(self, need: Need) -> bool:
        """Whether `need` is among what this permits."""
        return (
            isinstance(need, RepoNeed)
            and need.action in self.actions
            and ("*" in self.collections or need.collection in self.collections)
        )


@dataclass(frozen=True, slots=True)
class BlobPermission:
    """Uploads of types, which are `audio/mpeg`, `audio/*` or `*/*`."""

    accept: frozenset[str]

    def grants(self, need: Need) -> bool:
        """Whether `need` is among what this permits."""
        if not isinstance(need, BlobNeed):
            return False
        mime = _essence(need.mime)
        if not _is_accept(mime) or "*" in mime:
            return False
        return not self.accept.isdisjoint({"*/*", mime, f"{mime.partition('/')[0]}/*"})


@dataclass(frozen=True, slots=True)
class RpcPermission:
    """Calls of methods of one service; either may be `*`, not both."""

    methods: frozenset[str]
    audience: str

    def grants(self, need: Need) -> bool:
        """Whether `need` is among what this permits."""
        return (
            isinstance(need, RpcNeed)
            and self.audience in ("*", need.aud)
            and ("*" in self.methods or need.lxm in self.methods)
        )


@dataclass(frozen=True, slots=True)
class Transition:
    """`transition:generic`: all records, all blobs, and all services but private messages."""

    def grants(self, need: Need) -> bool:
        """Whether `need` is among what this permits."""
        return not (isinstance(need, RpcNeed) and need.lxm.startswith("chat.bsky."))


Permission = RepoPermission | BlobPermission | RpcPermission | Transition


def permissions(scope: str) -> list[Permission]:
    """What `scope` grants. Who holds it is not among this, nor what a set grants: `expand` that first."""
    return [permission for token in tokens(scope) if (permission := _permission(token)) is not None]


def permits(scope: str, need: Need) -> bool:
    """Whether `scope` grants `need` (OA-46)."""
    return any(permission.grants(need) for permission in permissions(scope))


def missing(scope: str, needs: Iterable[Need]) -> list[Need]:
    """Those of `needs` that `scope` does not grant."""
    held = permissions(scope)
    return [need for need in needs if not any(permission.grants(need) for permission in held)]


def tokens(scope: str) -> list[str]:
    """The tokens of a scope, each once, in order; none of a scope of unheard-of size."""
    if len(scope) > _MAX_LENGTH or len(found := list(dict.fromkeys(filter(None, scope.split(" "))))) > _MAX_TOKENS:
        return []
    return found


def expand(scope: str, sets: Mapping[str, Iterable[str]]) -> str:
    """`scope` with what the known `sets` (NSID to tokens) grant written out behind the `include:` that names each.

    A server may leave a set's name as it is, though what it allows is the set's permissions.
    """
    written: list[str] = []
    for token in tokens(scope):
        written.append(token)
        for nsid in _parse(token, "include", "nsid", {"aud"}).get("nsid", ()):
            written += sets.get(nsid, ())
    return " ".join(dict.fromkeys(written))


def set_tokens(document: Mapping[str, Any]) -> list[str]:
    """The `repo:` tokens that the permission set of a lexicon document grants, without those outside its own group
    (OA-42); one token for each collection, and calls left out, which depend on whom the set is included for.
    """
    group = str(document["id"]).rpartition(".")[0] + "."
    return [
        repo_token(collection, tuple(permission.get("action", ACTIONS)))
        for permission in document["defs"]["main"]["permissions"]
        if permission.get("resource") == "repo"
        for collection in permission.get("collection", ())
        if collection.startswith(group) and is_nsid(collection)
    ]


def repo_token(collection: str, actions: tuple[str, ...] = ACTIONS) -> str:
    """The scope that grants `actions` on records of one collection."""
    if frozenset(actions) == frozenset(ACTIONS):
        return f"repo:{collection}"
    return f"repo:{collection}?{'&'.join(f'action={action}' for action in ACTIONS if action in actions)}"


def overlap(one: Permission, other: Permission) -> bool:
    """Whether there may be something that both grant."""
    match one, other:
        case (Transition(), _) | (_, Transition()):
            return True
        case RepoPermission(), RepoPermission():
            any_collection = "*" in one.collections | other.collections
            collections_meet = any_collection or not one.collections.isdisjoint(other.collections)
            return collections_meet and not one.actions.isdisjoint(other.actions)
        case BlobPermission(), BlobPermission():
            kinds, others = ({accept.partition("/")[0] for accept in each.accept} for each in (one, other))
            return "*" in kinds | others or not kinds.isdisjoint(others)
        case RpcPermission(), RpcPermission():
            any_method = "*" in one.methods | other.methods
            return any_method or not one.methods.isdisjoint(other.methods)
    return False


def _permission(token: str) -> Permission | None:
    if token == TRANSITION:
        return Transition()
    for read in (_repo, _blob, _rpc):
        permission = read(token)
        if permission is not None:
            return permission
    return None


def _repo(token: str) -> RepoPermission | None:
    values = _parse(token, "repo", "collection", {"action"})
    collections, actions = values.get("collection", []), values.get("action", list(ACTIONS))
    if not _all(collections, lambda text: text == "*" or is_nsid(text)) or not _all(actions, ACTIONS.__contains__):
        return None
    return RepoPermission(frozenset(collections), frozenset(actions))


def _blob(token: str) -> BlobPermission | None:
    accept = _parse(token, "blob", "accept", set()).get("accept", [])
    return BlobPermission(frozenset(accept)) if _all(accept, _is_accept) else None


def _rpc(token: str) -> RpcPermission | None:
    values = _parse(token, "rpc", "lxm", {"aud"})
    methods, audiences = values.get("lxm", []), values.get("aud", [])
    if not _all(methods, lambda text: text == "*" or is_nsid(text)) or len(audiences) != 1:
        return None
    if audiences[0] == "*":
        return RpcPermission(frozenset(methods), "*") if "*" not in methods else None
    did, hash_, service = audiences[0].partition("#")
    if not (is_did(did) and hash_ and _is_fragment(service)):
        return None
    return RpcPermission(frozenset(methods), audiences[0])


def _parse(token: str, resource: str, positional: str, others: set[str]) -> dict[str, list[str]]:
    """The values by name of a token of `resource`, which reads `resource:value?name=value&…`; `value` is that of
    `positional`, which may be named instead (OA-41). Nothing for what is none.
    """
    head, _, query = token.partition("?")
    kind, colon, value = head.partition(":")
    values: dict[str, list[str]] = {}
    if kind != resource or _is_broken(token):
        return values
    try:
        given = [(positional, unquote(value, errors="strict"))] if colon else []
        named = parse_qsl(query, keep_blank_values=True, strict_parsing=True, errors="strict") if query else []
    except ValueError:
        return values
    if not {name for name, _ in named} <= (others if colon else others | {positional}):
        return values
    for name, text in given + named:
        values.setdefault(name, []).append(text)
    return values


def _all(values: list[str], is_right: Callable[[str], bool]) -> bool:
    return bool(values) and all(map(is_right, values))


def _is_accept(text: str) -> bool:
    """`type/subtype`, `type/*` or `*/*`."""
    kind, slash, subtype = text.partition("/")
    if not slash or not all(_is_part(part) for part in (kind, subtype)):
        return False
    return text == "*/*" or ("*" not in kind and (subtype == "*" or "*" not in subtype))


def _is_part(text: str) -> bool:
    return bool(text) and all("!" <= character <= "~" and character not in '/;,"' for character in text)


def _essence(mime: str) -> str:
    return mime.partition(";")[0].strip().lower()
