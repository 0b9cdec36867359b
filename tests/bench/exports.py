"""Repositories to be fetched, made once and kept in `.cache/bench`, and a process that gives them out over HTTP."""

import json
import multiprocessing
import random
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from tests.bench.corpus import CACHE
from tests.writer.captured import read_frames
from tests.writer.keys import K256, SigningKey
from tests.writer.mining import LATEST
from tests.writer.repo import Host, Repo, Write, tid

REPOS = 10
RECORDS = 2_000
FEW_RECORDS = 10
_VERSION = 2
_PAGE = 500
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


class Exports(NamedTuple):
    """A CAR for each DID, and the Multikey that signed it."""

    cars: dict[str, bytes]
    keys: dict[str, str]


def exports(say: Callable[[str], None]) -> Exports:
    """Repositories of tracks, likes, comments, lists and follows, as listeners who also make music have them."""
    return _cached("exports", REPOS, RECORDS, say)


def many_exports(count: int, say: Callable[[str], None]) -> Exports:
    """So many of them, of a few records each."""
    return _cached("small", count, FEW_RECORDS, say)


def _cached(name: str, count: int, records: int, say: Callable[[str], None]) -> Exports:
    cars_file = CACHE / f"{name}-{count}.{_VERSION}.cars"
    keys_file = cars_file.with_suffix(".json")
    if not keys_file.exists():
        say(f"making {count:,} repositories of {records:,} records, once ...")
        CACHE.mkdir(parents=True, exist_ok=True)
        keys = {}
        with cars_file.open("wb") as file:
            for repo in _repos(name, count, records):
                assert repo.key is not None
                keys[repo.did] = repo.key.multikey
                car = repo.export()
                file.write(struct.pack(">I", len(car)) + car)
        keys_file.write_text(json.dumps(keys))
    keys = json.loads(keys_file.read_text())
    return Exports(dict(zip(keys, read_frames(cars_file), strict=True)), keys)


def _repos(seed: str, count: int, records: int) -> Iterator[Repo]:
    rng = random.Random(seed)
    host = Host(now_us=LATEST)
    dids = ["did:plc:" + "".join(rng.choices(_LETTERS, k=24)) for _ in range(count)]
    own = {did: [_key(rng) for _ in range(records // 10)] for did in dids}
    tracks = [f"at://{did}/fm.plyr.track/{rkey}" for did, rkeys in own.items() for rkey in rkeys]
    for did in dids:
        repo = Repo(did, SigningKey.from_seed(did, K256), host)
        writes = [Write("create", f"fm.plyr.track/{rkey}", _track(rng, rkey)) for rkey in own[did]]
        for kind, share in (("like", 6), ("comment", 1), ("list", 1)):
            some = records * share // 10
            writes += [Write("create", f"fm.plyr.{kind}/{_key(rng)}", _record(rng, kind, tracks)) for _ in range(some)]
        for _ in range(records // 10):
            follow = {"$type": "app.bsky.graph.follow", "subject": rng.choice(dids), "createdAt": _time(rng)}
            writes.append(Write("create", f"app.bsky.graph.follow/{_key(rng)}", follow))
        repo.commit(writes)
        yield repo


def _key(rng: random.Random) -> str:
    return tid(LATEST - rng.randrange(1, 30_000_000_000_000), rng.randrange(1_024))


def _time(rng: random.Random) -> str:
    return f"2026-0{rng.randint(1, 9)}-{rng.randint(10, 28)}T{rng.randint(10, 23)}:20:30.{rng.randrange(1_000):03d}Z"


def _track(rng: random.Random, rkey: str) -> dict[str, Any]:
    return {
        "$type": "fm.plyr.track",
        "title": f"Song {rkey}",
        "artist": f"Artist {rng.randrange(100)}",
        "album": f"Album {rng.randrange(20)}",
        "duration": rng.randrange(30, 600),
        "fileType": "mp3",
        "audioUrl": f"https://audio.example/{rkey}.mp3",
        "createdAt": _time(rng),
    }


def _record(rng: random.Random, kind: str, tracks: list[str]) -> dict[str, Any]:
    def ref() -> dict[str, str]:
        return {"uri": rng.choice(tracks), "cid": "bafyrei" + "a" * 52}

    record: dict[str, Any] = {"$type": f"fm.plyr.{kind}", "createdAt": _time(rng)}
    if kind == "list":
        return record | {"name": "Mix", "listType": "playlist", "items": [{"subject": ref()} for _ in range(10)]}
    if kind == "comment":
        return record | {"subject": ref(), "text": "What a sound.", "timestampMs": rng.randrange(300_000)}
    return record | {"subject": ref()}


@contextmanager
def serving(made: Exports) -> Iterator[str]:
    """The origin of a PDS, and of a directory, that know these repositories; each is listed under any collection."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(made, theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def _serve(made: Exports, ready: Connection) -> None:
    dids = list(made.cars)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Head and body go out at once.
        disable_nagle_algorithm = True
        wbufsize = -1

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            params = {name: values[0] for name, values in parse_qs(query).items()}
            if path == "/xrpc/com.atproto.sync.getRepo":
                self._answer(made.cars[params["did"]], "application/vnd.ipld.car")
            elif path == "/xrpc/com.atproto.sync.listReposByCollection":
                start = int(params.get("cursor", 0))
                page: dict[str, Any] = {"repos": [{"did": did} for did in dids[start : start + _PAGE]]}
                if start + _PAGE < len(dids):
                    page["cursor"] = str(start + _PAGE)
                self._answer(json.dumps(page).encode(), "application/json")
            else:
                host = f"http://127.0.0.1:{server.server_port}"
                self._answer(json.dumps(_document(path[1:], made.keys, host)).encode(), "application/json")

        def _answer(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        ready.send(server.server_port)
        server.serve_forever()


def _document(did: str, keys: dict[str, str], host: str) -> dict[str, Any]:
    key = {"id": f"{did}#atproto", "type": "Multikey", "controller": did, "publicKeyMultibase": keys[did]}
    pds = {"id": "#atproto_pds", "type": "AtprotoPersonalDataServer", "serviceEndpoint": host}
    return {"id": did, "verificationMethod": [key], "service": [pds]}
