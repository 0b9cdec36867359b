"""One method of the API: how it is asked, how its handler is called, and what is made of the answer."""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from prometheus_client import Histogram

from lexicons.catalog import Catalog
from lexicons.data import DataError, from_json
from lexicons.drisl import MAX_NESTING
from lexicons.validate import InvalidValue, Validator
from xrpc.availability import within
from xrpc.context import Context
from xrpc.errors import GENERAL, XrpcError
from xrpc.params import Parameters
from xrpc.signatures import Handler, argument_name, takes_bytes


class InvalidOutput(Exception):
    """A handler answered, or failed, otherwise than its lexicon allows. Looked for in tests only."""


class Method:
    """A query or a procedure, and who answers it."""

    def __init__(self, nsid: str, handler: Handler, catalog: Catalog, validator: Validator, seconds: Histogram) -> None:
        definition = catalog.definition(nsid)
        self.nsid: Final = nsid
        self.errors: Final = GENERAL | {error["name"] for error in definition.get("errors", [])}
        self.is_query: Final = definition["type"] == "query"
        self.takes_bytes: Final = takes_bytes(definition)
        self.has_input: Final = "input" in definition
        self.has_output: Final = "output" in definition
        self.parameters: Final = Parameters(nsid, definition, validator)
        self.seconds: Final = seconds.labels(nsid)
        given = definition.get("input", {}).get("schema", {}).get("properties", {})
        self._fields = frozenset({"body"} if self.takes_bytes else given)
        self._handler = handler
        self._validator = validator

    async def ask(self, ctx: Context, values: Mapping[str, Any], seconds: float) -> bytes:
        """The answer as JSON, within `seconds`; `values` are by the lexicon's names."""
        return orjson.dumps(await within(seconds, self._handler(ctx, **_arguments(values))))

    async def do(self, ctx: Context, values: Mapping[str, Any]) -> bytes:
        """As `ask`, for as long as it takes, and where the method has no output, nothing."""
        # What the lexicon does not know is ignored, as in a query.
        known = {name: value for name, value in values.items() if name in self._fields}
        answer = await self._handler(ctx, **_arguments(known))
        return orjson.dumps(answer) if self.has_output else b""

    def check_answer(self, body: bytes) -> None:
        """Raises InvalidOutput unless `body` is what the lexicon promises."""
        if not self.has_output:
            return
        try:
            # A record may be as deep as any; here it lies deeper by what is around it.
            answer = from_json(orjson.loads(body), max_nesting=2 * MAX_NESTING)
            self._validator.validate(self.nsid, answer, "output")
        except (DataError, InvalidValue) as error:
            raise InvalidOutput(f"{self.nsid} answers what its lexicon does not allow: {error}") from error

    def check_error(self, error: XrpcError) -> None:
        """Raises InvalidOutput unless the lexicon declares an error of that name."""
        if error.name not in self.errors:
            raise InvalidOutput(f"{self.nsid} fails with {error.name}, which its lexicon does not declare") from error


def _arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    return {argument_name(name): value for name, value in values.items()}
