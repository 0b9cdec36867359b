"""Whether a browser sends a request because a page of ours asked it to: what counts before a cookie does."""

from typing import Final

from starlette.datastructures import Headers

COOKIE_READERS: Final = frozenset({"same-origin", "none"})
"""Of `Sec-Fetch-Site`: a page of ours, or the user by themselves, by the address bar or a bookmark."""


def is_asked_by_us(headers: Headers) -> bool:
    """Whether a page of ours sends this, and may change something by it.

    By `Sec-Fetch-Site`, which no page can forge; browsers that are older than that send an `Origin`. What has neither
    is no browser, and whoever is not one has no need of cookies.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    # Behind a proxy that speaks TLS we do not see which of the two it is.
    return headers.get("origin") in {f"{scheme}://{headers.get('host')}" for scheme in ("https", "http")}


def may_be_read_by(headers: Headers) -> bool:
    """Whether an answer to this, which changes nothing, may be for the one whose cookie is in it."""
    return headers.get("sec-fetch-site", "none") in COOKIE_READERS
