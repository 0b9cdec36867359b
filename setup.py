"""Compiles the modules through which every frame goes, with mypyc, from the very source that runs without it.

Where there is no C compiler, no Python.h or no mypyc, the build says so and goes on: the source runs as it is, at less
than half the speed. `python setup.py build_ext --inplace` does this alone.
"""

import sys

from setuptools import Extension, setup

try:
    from mypyc.build import mypycify
except ImportError:
    # Only the runtime's requirements are installed.
    mypycify = None

COMPILED = [
    "lexicons/checks.py",
    "lexicons/data.py",
    "lexicons/drisl.py",
    "lexicons/formats.py",
    "lexicons/frames.py",
    "lexicons/varint.py",
    "ingester/events.py",
    "ingester/sync.py",
    "ingester/repo/car.py",
    "ingester/repo/commit.py",
    "ingester/repo/errors.py",
    "ingester/repo/mst.py",
    "ingester/repo/node.py",
]


def compiled_modules() -> list[Extension]:
    """The extensions, each of which may fail to build without harm; none where mypyc is not installed."""
    if mypycify is None:
        print("mypyc is not installed: nothing is compiled", file=sys.stderr)
        return []
    # The checks are mypy's own run's; here the types only have to be known.
    options = ["--config-file=", "--ignore-missing-imports", "--no-warn-unused-ignores"]
    extensions = mypycify([*options, *COMPILED], group_name="plyr", opt_level="3", debug_level="0")
    for extension in extensions:
        extension.optional = True
    return extensions


setup(ext_modules=compiled_modules())
