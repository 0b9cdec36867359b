"""What this app asks for: all of it at once, in the best terms that a server understands, and more when more is needed.

`include:` of our permission set shows the owner one sentence; a server that cannot find the set is asked collection by
collection; `transition:generic`, which is far too much, only where a server knows nothing better (OA-44).
"""

from collections.abc import Collection, Iterable
from typing import Final

from appview.accounts.oauth import scopes
from appview.accounts.oauth.scopes import ATPROTO, TRANSITION, Need
from lexicons.catalog import Catalog
from lexicons.publication import FULL_ACCESS, full_access

BLOBS: Final = ("blob:audio/*", "blob:image/*")
"""Asked for beside the set, which can hold none (OA-42)."""


class Asking:
    """The scopes of the app whose records are those of `catalog` under `namespace`."""

    def __init__(self, catalog: Catalog, namespace: str) -> None:
        collections = scopes.set_tokens(full_access(catalog, namespace))
        set_name = f"{namespace}.{FULL_ACCESS}"
        self._single: Final = (*BLOBS, *collections)
        self._sets: Final = {set_name: collections}
        self.everything: Final = " ".join((ATPROTO, *BLOBS, f"include:{set_name}"))
        """What is asked for unless something else is said."""
        self.one_by_one: Final = " ".join((ATPROTO, *self._single))
        """The same without the set."""
        self.generic: Final = f"{ATPROTO} {TRANSITION}"
        self.superset: Final = " ".join((ATPROTO, *self._single, f"include:{set_name}", TRANSITION))
        """Every token that is ever asked for, as a client's metadata must list them (OA-02)."""

    def ladder(self, scope: str | None, supported: Collection[str]) -> list[str]:
        """What to ask for, one after the other, for as long as the server answers `invalid_scope`; `scope` is None for
        everything, and `supported` what the server's metadata lists. Raises ValueError for tokens never declared.
        """
        wanted = scope or self.everything
        if not set(scopes.tokens(wanted)) <= set(scopes.tokens(self.superset)) or ATPROTO not in scopes.tokens(wanted):
            raise ValueError("A scope is asked for that this app does not declare.")
        rungs = [wanted, self.one_by_one] if wanted == self.everything else [wanted]
        if wanted != ATPROTO and TRANSITION in supported:
            rungs.append(self.generic)
        return list(dict.fromkeys(rungs))

    def as_granted(self, scope: str) -> str:
        """A granted scope with what our own set grants written out, where the server left that as it was asked for."""
        return scopes.expand(scope, self._sets)

    def step_up(self, held: str, needs: Iterable[Need]) -> str | None:
        """The scope to ask for that covers what is held and what is needed; None when this app never asks for that."""
        needs = list(needs)
        if scopes.missing(self.one_by_one, needs):
            return None
        have = scopes.permissions(held)
        wanted = [
            token
            for token in self._single
            for permission in scopes.permissions(token)
            if any(scopes.overlap(permission, other) for other in have) or any(map(permission.grants, needs))
        ]
        return self.everything if len(wanted) == len(self._single) else " ".join((ATPROTO, *wanted))

    def again(self, asked: str, granted: str) -> str | None:
        """What is left to ask for after a grant of nothing: older servers drop, without a word, the permissions that
        they cannot read. None when something was granted, or nothing else is left.
        """
        if asked in (ATPROTO, self.generic) or scopes.permissions(granted):
            return None
        return self.generic
