"""What the pages of the documentation have in common. Pure."""

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path
from string import Template
from typing import Final
from urllib.parse import urlsplit

from appview.config import Config
from xrpc.http.page.html import Html, fill, joined
from xrpc.http.page.render import STYLE

_TEMPLATES: Final = Path(__file__).with_name("templates")


def template(name: str) -> Template:
    """The template of that name."""
    return Template((_TEMPLATES / f"{name}.html").read_text("utf-8"))


_LAYOUT: Final = template("layout")
_STYLE: Final = Html(STYLE + (_TEMPLATES / "docs.css").read_text("utf-8"))
_SCRIPT: Final = Html((_TEMPLATES / "docs.js").read_text("utf-8"))
_GROUP: Final = Template("<p>$name</p>\n<ul>$items</ul>\n")
_ITEM: Final = Template('<li><a href="#$id">$name</a></li>')
_PAGE: Final = Template('<a href="$path"$current>$name</a> ')
_PAGES: Final = {"/docs": "Methods", "/docs/recipes": "Recipes", "/api/openapi.json": "OpenAPI"}
_LINKS: Final = {"/": "What is here", "/ready": "Readiness", "/.well-known/did.json": "DID document"}
_CURRENT: Final = Html(' aria-current="page"')


def _hash(text: str) -> str:
    return b64encode(hashlib.sha256(text.encode()).digest()).decode()


POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_hash(_STYLE)}'; script-src 'sha256-{_hash(_SCRIPT)}'; "
    "connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy: its own style and script by what they are, this server alone, and nothing else."""


class Contents:
    """What stands where on a page."""

    def __init__(self) -> None:
        self._groups: list[Html] = []

    def add(self, name: str, places: Iterable[tuple[str, str]]) -> None:
        """One group of places: the id and the name of each."""
        items = joined(*(fill(_ITEM, id=id_, name=text) for id_, text in places))
        self._groups.append(fill(_GROUP, name=name, items=items))

    def made(self) -> Html:
        """All groups."""
        return joined(*self._groups)


def document(config: Config, path: str, *, heading: str, lead: str, body: Html, contents: Contents) -> Html:
    """The page at `path`."""
    pages = [
        fill(_PAGE, path=other, name=name, current=_CURRENT if other == path else "") for other, name in _PAGES.items()
    ]
    return fill(
        _LAYOUT,
        title=_PAGES[path],
        style=_STYLE,
        script=_SCRIPT,
        host=urlsplit(config.public_url).netloc,
        heading=heading,
        lead=lead,
        pages=joined(*pages),
        contents=contents.made(),
        body=body,
        links=joined(*(fill(_PAGE, path=other, name=name, current="") for other, name in _LINKS.items())),
    )
