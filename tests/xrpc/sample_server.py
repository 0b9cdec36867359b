"""The web process with the sample methods: `python -m tests.xrpc.sample_server`."""

import sys

from starlette.applications import Starlette

from appview.config import Config
from tests.xrpc.samples import METHODS, catalog
from xrpc.__main__ import run
from xrpc.app import create_app


def create(config: Config) -> Starlette:
    return create_app(config, methods=METHODS, catalog=catalog(), hot_seconds=0.0)


if __name__ == "__main__":
    sys.exit(run("sample_server", create))
