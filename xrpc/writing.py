"""What goes wrong while a procedure runs, as its caller is told it: in one place, for all of them."""

import logging
import math
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import asyncpg

from appview.accounts.oauth.errors import GrantEnded, OAuthError
from appview.db import AWAY
from appview.writes.errors import (
    PdsAway,
    PdsRefused,
    RateLimited,
    ScopeMissing,
    SignInAgain,
    Unsettled,
    WriteError,
)
from xrpc.availability import is_away
from xrpc.errors import NAMES, RETRY_AFTER, Unauthenticated, Unavailable, XrpcError

_STATUS: Final[Mapping[type[WriteError], int]] = {ScopeMissing: 403, RateLimited: 429, PdsAway: 502, Unsettled: 504}
"""Of those that are not the caller's to put right; the rest are 400."""

log = logging.getLogger(__name__)


@contextmanager
def writing(names: Container[str]) -> Iterator[None]:
    """Raises, for what goes wrong in the block, the XrpcError that says so, by one of the `names` of its method."""
    try:
        yield
    except SignInAgain as error:
        raise Unauthenticated("AuthRequired", error.message) from error
    except WriteError as error:
        raise _told(error, names) from error
    except GrantEnded as error:
        raise Unauthenticated("AuthRequired", f"Sign in again: {error}.") from error
    except OAuthError as error:
        raise XrpcError(502, NAMES[502], f"Your server does not play along: {error}.") from error
    except (asyncpg.PostgresError, *AWAY) as error:
        if not is_away(error):
            raise
        log.warning("the database does not answer: %r", error)
        raise Unavailable("The database does not answer at present.") from error


def _told(error: WriteError, names: Container[str]) -> XrpcError:
    status = _STATUS.get(type(error), 400)
    if isinstance(error, PdsRefused) and error.status >= 500:
        status = 502
    headers = {}
    if isinstance(error, RateLimited):
        headers["Retry-After"] = str(math.ceil(error.retry_after or RETRY_AFTER))
    # What a PDS calls its errors is its own; the message has it in any case.
    name = error.name if error.name in names else NAMES[status]
    return XrpcError(status, name, error.message, headers=headers)
