"""The cookies that we set: what they are called, and what browsers are told about them."""

from typing import Final

from starlette.responses import Response

from appview.config import Config

_SESSION: Final = "plyr"
_SECURE: Final = "__Host-"
"""A browser takes such a cookie only from the very host, over https, for all of its paths."""


def session_cookie(config: Config) -> str:
    """The name of the cookie that holds a browser's session."""
    return name_of(config, _SESSION)


def name_of(config: Config, name: str) -> str:
    """The cookie `name` as it is called here: over plain http, which is development, browsers refuse the prefix."""
    return f"{_SECURE}{name}" if is_secure(config) else name


def is_secure(config: Config) -> bool:
    """Whether the world reaches us over https."""
    return config.public_url.startswith("https://")


def set_cookie(config: Config, response: Response, name: str, value: str, *, seconds: int) -> None:
    """Have the browser keep `value` under `name`, one of `name_of`, for `seconds`, out of reach of scripts."""
    response.set_cookie(name, value, max_age=seconds, path="/", httponly=True, secure=is_secure(config), samesite="lax")


def drop_cookie(config: Config, response: Response, name: str) -> None:
    """Have the browser forget the cookie `name`."""
    response.delete_cookie(name, path="/", httponly=True, secure=is_secure(config), samesite="lax")
