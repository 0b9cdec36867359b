"""What can go wrong on the pages about accounts: each a page with a sentence, what to do, and the request's id.

What a stranger's server said is shown escaped, cut, and as what it is; nothing that was sent to it ever is.
"""

import re
from string import Template
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from appview.accounts.oauth.errors import (
    BadCallback,
    GrantEnded,
    NotAnAccount,
    OAuthError,
    ServerAway,
    ServerRefused,
    Untrusted,
)
from xrpc.errors import RETRY_AFTER, XrpcError
from xrpc.http.account.layout import answer as answer_page
from xrpc.http.account.layout import document, template
from xrpc.http.page.html import fill

_PROBLEM: Final = template("problem")
_SAID: Final = Template("<p>It said: <q><bdi>$text</bdi></q></p>\n")
_MAX_SAID: Final = 200
_MAX_SENTENCE: Final = 300
_is_unprintable = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Problem(Exception):
    """The answer is a page that says what is wrong: `what` in a few words, `advice` in a sentence or two.

    `said` is what another server said about it, `where` and `name` the link that leads on.
    """

    def __init__(
        self,
        status: int,
        what: str,
        advice: str,
        *,
        said: str = "",
        where: str = "/oauth/login",
        name: str = "Sign in",
        retry_after: int | None = None,
    ) -> None:
        super().__init__(what)
        self.status = status
        self.what = what
        self.advice = advice
        self.said = said
        self.where = where
        self.name = name
        self.retry_after = retry_after


def not_set_up() -> Problem:
    """There is no secret key."""
    return Problem(
        501,
        "Signing in is not set up here",
        "This server has no secret key to keep permissions by. Its operator makes one with `python -m appview keygen`, "
        "sets PLYR_SECRET_KEY, and starts it again. All that only reads works without.",
        where="/",
        name="What is here",
    )


def database_away() -> Problem:
    """The database does not answer."""
    advice = "Nothing is lost. Try again in a moment."
    return Problem(
        503, "The database does not answer", advice, where="/account", name="Try again", retry_after=RETRY_AFTER
    )


def unexpected() -> Problem:
    """What nobody thought of; the log has it under the request's id."""
    advice = "It is not your doing. Try again; if it is still so, tell whoever runs this server the number below."
    return Problem(500, "Something went wrong here", advice, where="/account", name="Your account")


def not_to_be_had() -> Problem:
    """The permission was forgotten, with all of the account, before anybody had it."""
    advice = "What was held here about this account was deleted meanwhile. Begin anew, if you want to."
    return Problem(409, "You were not signed in", advice)


def not_ours() -> Problem:
    """A form that no page of ours sent, or not lately."""
    return Problem(
        403,
        "This form is out of date",
        "It was not sent from a page of this server, or that page was open for too long, or cookies are turned off. "
        "Nothing was done. Open the page anew and try again.",
        where="/account",
        name="Open it anew",
    )


def of_limit(error: XrpcError) -> Problem:
    """Whatever the rest of the application refuses: too many requests, most of all."""
    retry_after = error.headers.get("Retry-After", "")
    return Problem(
        error.status,
        "That was too much in too short a time" if error.status == 429 else "That cannot be done",
        error.message,
        where="/account",
        name="Your account",
        retry_after=int(retry_after) if retry_after.isdecimal() else None,
    )


def of_oauth(error: OAuthError) -> Problem:
    """Why signing in did not work, in the words of the error."""
    if isinstance(error, ServerRefused):
        return _refused(error)
    said = _sentence(error)
    if isinstance(error, NotAnAccount):
        return Problem(400, "No such account was found", f"{said} Look for a slip of the pen, then try again.")
    if isinstance(error, ServerAway):
        return Problem(502, "The server of this account does not answer", f"{said} Try again later.", name="Try again")
    if isinstance(error, Untrusted):
        return Problem(502, "The server of this account cannot be trusted", f"{said} You were not signed in.")
    if isinstance(error, GrantEnded):
        return Problem(403, "The permission has ended", "Sign in once more to give it anew.")
    if isinstance(error, BadCallback):
        return Problem(400, "That was not the answer of your server", f"{said} You were not signed in. Begin anew.")
    return Problem(502, "Signing in did not work", f"{said} Try again.")


def _sentence(error: OAuthError) -> str:
    text = str(error)[:_MAX_SENTENCE].rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."


def _refused(error: ServerRefused) -> Problem:
    if error.error == "access_denied":
        return Problem(
            403, "You did not allow it", "Your server was told so, and nothing was changed.", name="Sign in after all"
        )
    said = " ".join(part for part in (error.error, error.description) if part)
    return Problem(502, "The server of this account refused", "Try again, or ask who runs it.", said=said)


def answer(request: Request, problem: Problem) -> Response:
    """The page of `problem`."""
    config = request.app.state.config
    said = _is_unprintable.sub(" ", problem.said)[:_MAX_SAID]
    body = fill(
        _PROBLEM,
        said=fill(_SAID, text=said) if said else "",
        where=problem.where,
        name=problem.name,
        request=request.scope["request_id"],
    )
    page = document(config, problem.what, lead=problem.advice, body=body)
    response = answer_page(config, page, problem.status)
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    return response
