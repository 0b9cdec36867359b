"""Read by schemathesis: what the formats of the protocol look like, often as they occur in the index that is asked.

The environment has the texts that occur as JSON, by their format, in a variable.
"""

import json
import os
from typing import Final

import schemathesis
from hypothesis import strategies as st

HERE: Final[dict[str, list[str]]] = json.loads(os.environ["API_TEXTS"])

_NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True)
_DIDS = st.one_of(
    st.from_regex(r"did:plc:[a-z2-7]{24}", fullmatch=True),
    st.from_regex(r"did:web:[a-z]{1,9}\.test(%3A[0-9]{1,5})?", fullmatch=True),
)
_HANDLES = st.builds("{}.{}.test".format, _NAMES, _NAMES)
_NSIDS = st.builds("fm.plyr.{}".format, _NAMES) | st.sampled_from(["fm.plyr.track", "fm.plyr.list", "fm.plyr.like"])
_KEYS = st.from_regex(r"[234567a-j][234567a-z]{12}", fullmatch=True) | st.from_regex(
    r"[A-Za-z0-9_~.:-]{1,20}", fullmatch=True
)
_URIS = st.builds("at://{}/{}/{}".format, _DIDS | _HANDLES, _NSIDS, _KEYS.filter(lambda key: key not in {".", ".."}))
_SHAPES: Final = {
    "at-identifier": _DIDS | _HANDLES,
    "at-uri": _URIS,
    "did": _DIDS,
    "handle": _HANDLES,
    "nsid": _NSIDS,
    "record-key": _KEYS,
    "tid": st.from_regex(r"[234567a-j][234567a-z]{12}", fullmatch=True),
    "uri": _URIS | _DIDS | st.builds("https://{}.test/{}".format, _NAMES, _NAMES),
}

for name, shaped in _SHAPES.items():
    there = HERE.get(name, [])
    schemathesis.openapi.format(name, st.sampled_from(there) | shaped if there else shaped)


@schemathesis.hook
def filter_query(_context: object, query: dict[str, object] | None) -> bool:
    """Leaves out what the document allows and the checker takes for forbidden: an empty value, which is as none."""
    return "" not in (query or {}).values() and [""] not in (query or {}).values()
