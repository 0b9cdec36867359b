"""Mutants of who calls: what is believed of a token, for how long, and what an account that is not welcome hears."""

from typing import Final

from tests.mutants.mutant import Mutant

_JWT: Final = "appview/accounts/service_jwt.py"
_REPLAYS: Final = "appview/accounts/replays.py"
_AUTH: Final = "xrpc/service_auth.py"
_REVS: Final = "xrpc/revs.py"
_BY_JWT: Final = ("tests/appview/accounts/test_service_jwt.py",)
_BY_REPLAYS: Final = ("tests/appview/accounts/test_replays.py",)
_APP: Final = "tests/xrpc/test_auth.py"

MUTANTS: Final = (
    # --- a token by itself ---
    Mutant("a token for another service is taken", _JWT, "audience not in audiences)", "False)", _BY_JWT),
    Mutant(
        "a token for every service whose DID begins as ours is taken",
        _JWT,
        "audience not in audiences)",
        "not audience.startswith(tuple(audiences)))",
        _BY_JWT,
    ),
    Mutant(
        "a token without a method is one for all",
        _JWT,
        'claims.get("lxm") != method',
        'claims.get("lxm", method) != method',
        _BY_JWT,
    ),
    Mutant("a token never expires", _JWT, "if expires_at < now - LEEWAY:", "if expires_at < 0:", _BY_JWT),
    Mutant("a token may last for ever", _JWT, "if expires_at - issued_at > MAX_LIFE:", "if False:", _BY_JWT),
    Mutant("a token of a session is taken", _JWT, " in _OTHER_TYPES:", " in ():", _BY_JWT),
    Mutant("the key may be of another curve than alg says", _JWT, "key.curve == self.curve and ", "", _BY_JWT),
    Mutant(
        "a part of a token can be written in several ways",
        _JWT,
        'if base64.urlsafe_b64encode(raw).rstrip(b"=") != part.encode():',
        "if not raw:",
        _BY_JWT,
    ),
    Mutant(
        "a signature may be longer, with a zero in it",
        "appview/keys.py",
        "if len(signature) == 64 and _HALF_ORDER",
        "if _HALF_ORDER",
        _BY_JWT,
    ),
    # --- a token used again ---
    Mutant(
        "a token is forgotten when it expires, and then taken within the leeway",
        _REPLAYS,
        "kept_until = token.expires_at + LEEWAY + 1",
        "kept_until = token.expires_at - 60",
        _BY_REPLAYS,
    ),
    Mutant(
        "long-lived tokens fill the memory",
        _REPLAYS,
        "if sum(len(minute.used) for minute in later) >= MAX_LONG:",
        "if False:",
        _BY_REPLAYS,
    ),
    Mutant(
        "one issuer uses up the places of all long-lived tokens",
        _REPLAYS,
        "if sum(minute.long_lived[issuer] for minute in later) >= MAX_LONG_EACH:",
        "if False:",
        _BY_REPLAYS,
    ),
    Mutant(
        "each process takes a token once",
        _REPLAYS,
        "nx=True, px=",
        "px=",
        (f"{_APP}::test_a_token_used_in_one_process_is_used_in_all",),
    ),
    Mutant(
        "a forged token uses up the true one",
        _AUTH,
        "await self._require_signature(token, stands)\n        if is_ours:",
        "await self._require_first_use(token)\n        await self._require_signature(token, stands)\n        if 0:",
        (f"{_APP}::test_a_token_is_good_for_one_call",),
    ),
    # --- the key ---
    Mutant(
        "a key is believed however old its document is",
        _AUTH,
        "self._clock() - stands.document_at >= MAX_AGE",
        "False",
        (f"{_APP}::test_a_document_that_is_too_old_is_not_believed",),
    ),
    Mutant(
        "what was fetched for a token that did not verify is fetched for the next one too",
        _AUTH,
        "remembered is not None and remembered.at > stands.document_at",
        "False",
        (f"{_APP}::test_a_key_that_has_changed_is_fetched_once",),
    ),
    Mutant(
        "whoever is invented is looked up",
        _AUTH,
        "if not self._questions.allow(question):",
        "if False:",
        (f"{_APP}::test_invented_issuers_are_not_all_looked_up",),
    ),
    Mutant(
        "issuers whose hosts are silent hold up everybody",
        _AUTH,
        "if self._of[method] >= MAX_WAITING or self._of[issuer] >= MAX_WAITING_EACH:",
        "if False:",
        (f"{_APP}::test_issuers_whose_hosts_are_silent_hold_up_nobody",),
    ),
    # --- what follows ---
    Mutant(
        "an account that was taken down here may call",
        _AUTH,
        "if stands.taken_down or (",
        "if (",
        (f"{_APP}::test_who_is_hidden_here_is_no_viewer",),
    ),
    Mutant(
        "min-rev is heeded, but not waited for",
        _REVS,
        "await waiter.reached.wait()",
        "raise TimeoutError",
        ("tests/xrpc/test_revs.py::test_min_rev_waits_until_the_repository_is_indexed",),
    ),
)
