"""What can go wrong when somebody writes to their own PDS through us.

    WriteError
    ├── InvalidWrite          what was asked is no write of ours; nothing was sent
    │   └── InvalidRecord     the record breaks its lexicon
    ├── IdempotencyMismatch   the key stood for another request before
    ├── ScopeMissing          the grant does not reach so far
    ├── SignInAgain           the grant has ended
    ├── RateLimited           the PDS, or we for it, ask for a pause
    ├── PdsRefused            the PDS said no, and why
    │   ├── InvalidSwap       another version is there than the one to be replaced
    │   ├── RecordAlreadyExists
    │   └── RecordNotFound
    ├── PdsAway               the PDS cannot be reached; nothing was written
    └── Unsettled             nobody knows whether it was written
        └── Overtaken         and nobody will

`name` is what callers are told, of an XRPC error. The messages are for people; they hold no token and no key.
"""

from typing import Final

MAX_SAID: Final = 300
"""Characters of what a PDS says that are passed on."""


class WriteError(Exception):
    """A write that was not done, or of which that is not known."""

    name = "InternalServerError"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidWrite(WriteError):
    """What was asked is no write that is done here; nothing was sent."""

    name = "InvalidRequest"


class InvalidRecord(InvalidWrite):
    """The record breaks its lexicon; nothing was sent."""

    name = "InvalidRecord"


class IdempotencyMismatch(WriteError):
    """The idempotency key stood for another request within the last day; nothing was sent."""

    name = "IdempotencyMismatch"


class ScopeMissing(WriteError):
    """The grant does not allow it; `needed` is the scope that would."""

    name = "ScopeMissing"

    def __init__(self, needed: str) -> None:
        super().__init__(f"What you allowed this app does not include {needed}: sign in again to allow it.")
        self.needed = needed


class SignInAgain(WriteError):
    """The grant has ended at the account's own server."""

    name = "AuthRequired"


class RateLimited(WriteError):
    """Too much was asked of the PDS; `retry_after` in seconds, where it is known."""

    name = "RateLimitExceeded"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PdsRefused(WriteError):
    """The PDS said no; `name` is the error's, as it said it, and `status` the answer's."""

    def __init__(self, message: str, *, name: str = "UpstreamFailure", status: int = 400) -> None:
        super().__init__(message)
        self.name = name
        self.status = status


class InvalidSwap(PdsRefused):
    """Another version of the record, or of the repository, is there than the one that was to be replaced (WR-05)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, name="InvalidSwap")


class RecordAlreadyExists(PdsRefused):
    """Another record is there under the key of the one that was to be created."""

    def __init__(self, message: str) -> None:
        super().__init__(message, name="RecordAlreadyExists")


class RecordNotFound(PdsRefused):
    """There is no record to be changed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, name="RecordNotFound")


class PdsAway(WriteError):
    """The PDS, or the server of its grants, cannot be reached; nothing was written."""

    name = "UpstreamFailure"


class Unsettled(WriteError):
    """Nobody knows whether it was written. The same call, by the same key or rkey, may be made again."""

    name = "UpstreamTimeout"


class Overtaken(Unsettled):
    """The answer was lost, and what is there now does not tell: the repository was changed since.

    It is never made again under its key: it might be made twice.
    """

    def __init__(self) -> None:
        super().__init__(
            "The answer was lost, and the repository was changed since, so that nobody can tell whether this was done: "
            "look whether it was. It is not done again under the same key."
        )


def printable(text: str) -> str:
    """What a stranger's server said, on one line of at most MAX_SAID characters, without what does not print."""
    return "".join(char if char.isprintable() else " " for char in text[: 2 * MAX_SAID]).strip()[:MAX_SAID]
