"""What the pages about accounts have in common: the document around them, and the headers that go with it. Pure."""

import hashlib
from base64 import b64encode
from pathlib import Path
from string import Template
from typing import Final
from urllib.parse import urlsplit

from starlette.responses import Response

from appview.config import Config
from xrpc.http.page.html import Html, fill
from xrpc.http.page.render import STYLE

_TEMPLATES: Final = Path(__file__).with_name("templates")


def template(name: str) -> Template:
    """The template of that name."""
    return Template((_TEMPLATES / f"{name}.html").read_text("utf-8"))


_LAYOUT: Final = template("layout")
_STYLE: Final = Html(STYLE + (_TEMPLATES / "account.css").read_text("utf-8"))
_STYLE_HASH: Final = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

PRIVATE: Final = {
    "Cache-Control": "no-store",
    # Not `no-referrer`: with that a browser sends `Origin: null` to ourselves too, and our forms could not be told.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""The headers of whatever these paths answer: it is for one browser, at this moment."""


def document(config: Config, title: str, *, lead: object, body: Html, heading: object | None = None) -> Html:
    """A page."""
    return fill(
        _LAYOUT,
        title=title,
        style=_STYLE,
        host=urlsplit(config.public_url).netloc,
        heading=title if heading is None else heading,
        lead=lead,
        body=body,
    )


def policy(*, dev: bool, leads_away: bool) -> str:
    """The Content-Security-Policy: the pages' own style, images over https, and forms to this server.

    A browser holds what a form's answer redirects to against `form-action` too; a form that `leads_away` ends at
    whichever server the account has.
    """
    anywhere = "https: http:" if dev else "https:"
    targets = f"'self' {anywhere}" if leads_away else "'self'"
    return (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src {anywhere} data:; "
        f"form-action {targets}; base-uri 'none'; frame-ancestors 'none'"
    )


def answer(config: Config, page: Html, status: int = 200, *, leads_away: bool = False) -> Response:
    """A page as it goes out; `leads_away` where a form on it begins a sign-in."""
    headers = {**PRIVATE, "Content-Security-Policy": policy(dev=config.dev, leads_away=leads_away)}
    return Response(page.encode("utf-8", "replace"), status, headers, "text/html")


def see_other(where: str) -> Response:
    """Go on to `where`, which is a path of ours or was vetted."""
    return Response(status_code=303, headers={**PRIVATE, "Location": where})
