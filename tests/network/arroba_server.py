"""Arroba's PDS in memory, run by the Python that has it: `arroba_server.py PLC-URL`.

Prints `READY {"url"}` and runs until its standard input ends. Beside XRPC: `POST /repos` `{"handle"}` makes a repo and
its DID, `POST /repos/<did>/<change>` changes its status.
"""

import functools
import json
import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import flask  # type: ignore[import-not-found]  # in Arroba's environment, not in ours
import requests  # type: ignore[import-untyped,import-not-found,unused-ignore]  # the same
from werkzeug.serving import make_server

plc_url = sys.argv[1]
# Arroba reads these as it loads. It waits this long for an event that it was not told of, two minutes by default.
os.environ |= {"PLC_HOST": urlsplit(plc_url).netloc, "REPO_TOKEN": "token", "SUBSCRIBE_REPOS_SKIPPED_SEQ_DELAY": "0.1"}

from arroba import did, firehose, server, storage, util, xrpc_repo, xrpc_server, xrpc_sync  # noqa: E402 -- see above
from arroba.repo import Repo  # noqa: E402 -- see above
from lexrpc.flask_server import init_flask  # type: ignore[import-not-found]  # noqa: E402 -- see above

HANDLERS = (xrpc_repo, xrpc_server, xrpc_sync)  # they register themselves with `server` when imported
CHANGES = {"deactivate": "deactivate_repo", "activate": "activate_repo", "tombstone": "tombstone_repo"}


def memory_storage() -> Any:
    """Arroba's storage for tests, made safe for the firehose's thread to read while another writes."""
    memory = storage.MemoryStorage()
    lock = threading.RLock()

    def locked(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            with lock:
                return method(*args, **kwargs)

        return guarded

    for name in ("commit", "write_event", "read_blocks_by_seq"):
        setattr(memory, name, locked(getattr(memory, name)))
    return memory


def announce(data: object = None, lost_seq: int | None = None) -> None:
    """Arroba's callback for what happens to a repo."""
    if data is not None:
        firehose.send_events()
    elif lost_seq is not None:
        firehose.mark_seq_lost(lost_seq)


def post_to_directory(url: str, **request: Any) -> Any:
    """Send a PLC operation over http; Arroba knows https only."""
    return requests.post(url.replace("https://", "http://", 1), timeout=10, **request)


def main() -> None:
    """Serve until standard input ends."""
    logging.disable(logging.INFO)
    app = flask.Flask(__name__)
    web = make_server("127.0.0.1", 0, app, threaded=True)
    url = f"http://localhost:{web.port}"
    os.environ["PDS_HOST"] = f"localhost:{web.port}"
    server.storage = memory_storage()
    init_flask(server.server, app)

    @app.post("/repos")  # type: ignore[untyped-decorator]  # flask is Any here
    def create_repo() -> dict[str, str]:
        handle = flask.request.json["handle"]
        key = util.new_key()
        made = did.create_plc(handle, signing_key=key, rotation_key=key, pds_url=url, post_fn=post_to_directory)
        Repo.create(server.storage, made.did, handle=handle, signing_key=key, rotation_key=key, callback=announce)
        firehose.start()  # at the first repo: it cannot start on a stream that never had an event
        return {"did": made.did}

    @app.post("/repos/<repo_did>/<change>")  # type: ignore[untyped-decorator]  # flask is Any here
    def change_status(repo_did: str, change: str) -> dict[str, str]:
        getattr(server.storage, CHANGES[change])(server.storage.load_repo(repo_did))
        return {}

    threading.Thread(target=web.serve_forever, daemon=True).start()
    sys.stdout.write(f"READY {json.dumps({'url': url})}\n")
    sys.stdout.flush()
    sys.stdin.read()
    os._exit(0)  # threads that serve a stream would hold up any gentler end


if __name__ == "__main__":
    main()
