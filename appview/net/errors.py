"""What can go wrong when we speak to the network, and when we ask who somebody is.

    NetError
    ├── Refused            our policy forbids it; asking again will not help
    │   └── Redirected     the answer would be elsewhere, further than was to be gone
    ├── Unreachable        no complete answer came; may be tried again
    │   └── NotConnected   nothing was even sent
    │       └── NoSuchHost the name has no address
    ├── TooLarge           the answer is larger than its reader allows
    └── BadAnswer          an answer came that is not HTTP as we take it
        └── BadStatus      an answer came with a status outside 200-299

    IdentityError
    ├── BadSyntax          not a DID, or not a handle
    ├── Unsupported        a method, a form or a name that is never resolved
    ├── NotFound           there is none
    │   └── Gone           there was one (a tombstone)
    ├── Unusable           the answer is not this DID's document, or not one handle's DID
    └── CouldNotCheck      temporary: nothing is known either way

`temporary` says of either kind whether the same question may get another answer soon.
"""

from collections.abc import Mapping


class NetError(Exception):
    """No answer that could be used."""

    temporary = False


class Refused(NetError):
    """Our policy forbids the request; never retry."""


class Redirected(Refused):
    """The host sends us on more often than its asker allows."""


class Unreachable(NetError):
    """No complete answer came; may be tried again."""

    temporary = True


class NotConnected(Unreachable):
    """No connection came to be, so nothing was sent; may be tried again."""


class NoSuchHost(NotConnected):
    """The name has no address."""


class TooLarge(NetError):
    """The answer is larger than its reader allows."""


class BadAnswer(NetError):
    """An answer came that is not HTTP as we take it."""


class BadStatus(BadAnswer):
    """An answer came with a status outside 200-299; what it said is kept, its body cut to 64 KiB.

    `retry_after` is in seconds, at most a day, when the server asked for a pause.
    """

    def __init__(
        self, message: str, *, status: int, headers: Mapping[str, str], body: bytes, retry_after: float | None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.body = body
        self.retry_after = retry_after
        self.temporary = status in {408, 425, 429} or status >= 500


class IdentityError(Exception):
    """A DID or a handle that does not resolve."""

    temporary = False


class BadSyntax(IdentityError):
    """The text is not a DID, or not a handle."""


class Unsupported(IdentityError):
    """A DID method, a form of it, or a name that is never resolved."""


class NotFound(IdentityError):
    """No such DID is registered, or no DID is published for the handle."""


class Gone(NotFound):
    """The DID existed and was given up."""


class Unusable(IdentityError):
    """The answer is not the document of this DID, or names more than one DID for a handle."""


class CouldNotCheck(IdentityError):
    """The question could not be asked now; nothing is known either way. `retry_after` in seconds, if named."""

    temporary = True

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after
