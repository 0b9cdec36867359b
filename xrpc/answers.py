"""An answer as it goes out: JSON with a tag of its own, compressed for those who take it so, and left out for those who
have it already.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Final

from isal import igzip
from starlette.types import Receive, Scope, Send

PUBLIC: Final = "public, max-age=0, s-maxage=1"
"""For all: a cache that many share may keep it for a second, a browser asks each time and is told if it has it."""

_COMPRESSED_FROM: Final = 1_000
"""In bytes: what is shorter fits into a packet anyway."""
_VARY: Final = b"Authorization, Cookie, Accept-Encoding"

_refuses_gzip = re.compile(rb"gzip\s*;\s*q=0(?:\.0*)?\s*(?:,|$)").search
_tags_in = re.compile(rb'"[^"]*"').findall


class Answer:
    """The body of a 200, as an ASGI application; the same one may be sent many times, and at the same time.

    `headers` are more of them, by name. The tag is weak: it says what the JSON is, compressed or not.
    """

    def __init__(self, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.body: Final = body
        self._tag: Final = b'"' + base64.urlsafe_b64encode(hashlib.sha256(body).digest()[:15]) + b'"'
        self._zipped: bytes | None = None
        more = {"Cache-Control": PUBLIC, **(headers or {})}
        self._unchanged: Final = [
            (b"etag", b"W/" + self._tag),
            (b"vary", _VARY),
            *((name.lower().encode(), value.encode()) for name, value in more.items()),
        ]
        self._head: Final = [
            *self._unchanged,
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
        ]

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer a GET or a HEAD."""
        takes, has = b"", b""
        for name, value in scope["headers"]:
            if name == b"accept-encoding":
                takes = value
            elif name == b"if-none-match":
                has = value
        status, headers, body = 200, self._head, self.body
        if has and (has == b"*" or self._tag in _tags_in(has)):
            status, headers, body = 304, self._unchanged, b""
        elif b"gzip" in takes and not _refuses_gzip(takes) and len(body) >= _COMPRESSED_FROM:
            body = self._compressed()
            headers = [
                *self._head[:-1],
                (b"content-encoding", b"gzip"),
                (b"content-length", str(len(body)).encode()),
            ]
        await send({"type": "http.response.start", "status": status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _compressed(self) -> bytes:
        if self._zipped is None:
            self._zipped = igzip.compress(self.body, 1)
        return self._zipped
