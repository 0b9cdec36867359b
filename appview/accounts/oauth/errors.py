"""What can go wrong between us and an authorization server.

    OAuthError
    ├── NotAnAccount     the text names no account that could sign in
    ├── ServerAway       no answer that could be used came; may be tried again (temporary)
    ├── ServerRefused    the server says no; `error` is its code (`access_denied`), `description` its words
    ├── BadCallback      the browser came back with what is not this request's answer
    ├── Untrusted        somebody lies, or is no server of the protocol: metadata, `sub` or issuer do not agree
    ├── GrantEnded       the grant is over, and only a new sign-in brings another
    └── TokenExpired     the access token is not taken any more; a refresh brings another

Messages name hosts and DIDs, never a token, a code or a state. What a server says of itself is cut to printable text,
and is still a stranger's: pages must escape it.
"""


class OAuthError(Exception):
    """No grant came of it."""

    temporary = False


class NotAnAccount(OAuthError):
    """The text names no account that could sign in."""


class ServerAway(OAuthError):
    """No answer that could be used came; may be tried again, after `retry_after` seconds if that was named."""

    temporary = True

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ServerRefused(OAuthError):
    """The server says no, by a code of OAuth's and in words of its own."""

    def __init__(self, error: str, description: str = "") -> None:
        self.error = printable(error, 100)
        self.description = printable(description, 300)
        said = f"{self.error}: {self.description}" if self.description else self.error
        super().__init__(f"the authorization server refuses: {said}")


class BadCallback(OAuthError):
    """The browser came back with what is not the answer to this request."""


class Untrusted(OAuthError):
    """Somebody lies, or is no server of the protocol."""


class GrantEnded(OAuthError):
    """The grant is over: ended by its owner, by the server, or by a move of the account to another server."""


class TokenExpired(OAuthError):
    """The access token is not taken any more."""


def printable(text: object, length: int) -> str:
    """A stranger's text as one short line of printable ASCII; nothing for what is no text."""
    if not isinstance(text, str):
        return ""
    return "".join(character if " " <= character <= "~" else " " for character in text[:length]).strip()
