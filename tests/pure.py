"""Running from source although compiled modules lie beside it: for what must see each line, and to test both.

`python -m pytest -p tests.pure` runs the tests so; the fuzzer's children call `prefer_source` before they import.
"""

import sys
from importlib.abc import PathEntryFinder
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = tuple(str(ROOT / name) for name in ("appview", "ingester", "lexicons", "xrpc"))


def prefer_source() -> None:
    """From now on import our packages' modules from their source; those imported before stay as they are."""
    find_source = FileFinder.path_hook((SourceFileLoader, SOURCE_SUFFIXES))

    def hook(path: str) -> PathEntryFinder:
        if not path.startswith(PACKAGES):
            raise ImportError(path)
        return find_source(path)

    sys.path_hooks.insert(0, hook)
    for path in [path for path in sys.path_importer_cache if path.startswith(PACKAGES)]:
        del sys.path_importer_cache[path]


prefer_source()
