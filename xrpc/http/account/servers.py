"""Telling accounts' servers what is over: nobody waits for one that does not answer."""

import asyncio
import logging
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, Final

from appview.accounts.oauth.errors import OAuthError

SECONDS: Final = 3.0
"""After which whoever asked is answered; what a server was not told by then, a job tells it."""

_log = logging.getLogger(__name__)


async def tell(*words: Awaitable[Any]) -> None:
    """Await all of these at once, but not for long."""
    with suppress(TimeoutError):
        async with asyncio.timeout(SECONDS):
            for outcome in await asyncio.gather(*words, return_exceptions=True):
                if isinstance(outcome, OAuthError):
                    _log.info("a server could not be told at once that a grant is over: %s", outcome)
                elif isinstance(outcome, BaseException):
                    raise outcome
