import collections
import io
import json
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from appview.commands import CommandError
from appview.keys import PublicKey
from appview.net.did_document import identity_at
from ingester.__main__ import main
from ingester.commands.keys import DidsFile, NoKeys
from ingester.commands.verify import Run, read_frames
from ingester.sync import Signer
from lexicons.data import encode
from lexicons.frames import MAX_FRAME_BYTES, encode_error, encode_frame
from tests.ingester.captured import ALL_OK, CAPTURES, dids_path, documents, frames
from tests.ingester.commands.running import COMMAND, ROOT, called, ingester
from tests.shared import fixture
from tests.writer.keys import SigningKey
from tests.writer.repo import Host, Repo, Write

DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz"
A, B = "fm.plyr.track/3lbomqvqtzs2a", "fm.plyr.track/3lbomqvqtzs2b"
RECORD = {"$type": "fm.plyr.track"}
IDENTITY = encode_frame("#identity", {"seq": 5, "did": DID, "time": "2026-11-22T13:52:00Z"})


def stored(*messages: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(message)) + message for message in messages)


def repo(now_us: int = 1_790_000_000_000_000) -> Repo:
    return Repo(DID, SigningKey.from_seed("artist"), Host(now_us=now_us))


def dids_file(folder: Path, it: Repo) -> Path:
    path = folder / "dids.json"
    path.write_text(json.dumps({it.did: {"doc": it.did_document()}}))
    return path


Capture = pytest.CaptureFixture[bytes]


@pytest.mark.parametrize("name", CAPTURES)
def test_what_was_captured_has_the_verdicts_that_are_known(name: str, capsysbinary: Capture) -> None:
    arguments = ("verify", fixture(f"frames/{name}.bin"), "--dids", fixture(dids_path(name)))
    ran = called(capsysbinary, *arguments) if name.startswith(("errors/", "replay")) else ingester(*arguments)
    rows = ran.rows
    assert ran.code == 0
    assert len(rows) == len(frames(name))
    odd = [row for row in rows if row["verdict"] != "ok"]
    if name in ALL_OK:
        assert odd == []
    elif name.endswith("-pds2"):
        # After a migration the new host's #sync has an own rev and the old host's commit; the next commit chains.
        assert [(row["type"], row["verdict"], row["reason"]) for row in odd] == [("#sync", "invalid", "rev_mismatch")]
        assert rows[-1]["verdict"] == "ok"
    else:
        # Of the accounts of an earlier network nobody knows the keys any more.
        assert {(row["verdict"], row["reason"]) for row in odd} <= {("unchecked", "identity_unresolved")}
        assert {row["type"] for row in odd} <= {"#commit", "#sync"}
    assert all(row.keys() >= {"seq", "type", "did", "verdict", "reason"} for row in rows)
    counts = collections.Counter(row["verdict"] for row in rows)
    assert f"{len(rows)} frames: " in ran.error
    assert all(f"{count} {verdict}" in ran.error for verdict, count in counts.items())


def test_errors_and_words_about_the_stream_are_said(capsysbinary: Capture) -> None:
    kinds = {}
    for name in ("errors/err-cursor-999999", "errors/err-cursor-abc", "errors/err-consumer-too-slow"):
        (kinds[name],) = called(capsysbinary, "verify", fixture(f"frames/{name}.bin")).rows
    assert {row["type"] for row in kinds.values()} == {"error"}
    assert [row["detail"].split(":")[0] for row in kinds.values()] == [
        "FutureCursor",
        "InvalidRequest",
        "ConsumerTooSlow",
    ]
    info = called(capsysbinary, "verify", fixture("frames/errors/err-outdated-cursor.bin")).rows[0]
    assert (info["type"], info["seq"], info["detail"].split(":")[0]) == ("#info", None, "OutdatedCursor")


def test_another_implementation_deviates_and_is_ok(capsysbinary: Capture) -> None:
    path, dids = fixture("frames/arroba/replay.bin"), fixture("frames/arroba/dids.json")
    ran = called(capsysbinary, "verify", path, "--dids", dids, "--strict")
    rows = ran.rows
    assert ran.code == 0
    deviating = [row for row in rows if "deviations" in row]
    assert {tuple(row["deviations"]) for row in deviating} == {("since_mismatch",)}
    assert {row["type"] for row in rows} == {"#commit", "#sync", "#identity", "#account", "#tombstone"}


def test_without_keys_nothing_is_believed(capsysbinary: Capture) -> None:
    ran = called(capsysbinary, "verify", fixture("frames/live-pds1.bin"))
    assert ran.code == 0
    for row in ran.rows:
        assert row["verdict"] == ("unchecked" if row["type"] in ("#commit", "#sync") else "ok")
    assert called(capsysbinary, "verify", fixture("frames/live-pds1.bin"), "--strict").code == 1


def test_every_verdict(tmp_path: Path, capsysbinary: Capture) -> None:
    it = repo()
    first = it.commit().frame()
    second = it.commit([Write("create", A, RECORD)]).frame()
    it.commit([Write("create", B, RECORD)])
    fourth = it.delete(A).frame()
    sync = it.sync()
    fifth = it.create(A, RECORD)
    stranger = Repo("did:web:nobody.example", SigningKey.from_seed("nobody")).commit().frame()
    forged = bytearray(fifth.frame())
    forged[-1] ^= 1
    payload = {"error": "x"}
    messages = [
        (first, "#commit", "ok", "first_commit"),
        (second, "#commit", "ok", "in_chain"),
        (second, "#commit", "skip", "replayed_rev"),
        (fourth, "#commit", "discontinuous", "prev_data_breaks_chain"),
        (sync, "#sync", "ok", "unchanged"),
        (stranger, "#commit", "unchecked", "identity_unresolved"),
        (bytes(forged), "#commit", "invalid", None),
        (fifth.frame(), "#commit", "ok", "in_chain"),
        (IDENTITY, "#identity", "ok", "refresh_identity"),
        (it.account(), "#account", "ok", "account_status"),
        (encode_error("FutureCursor"), "error", "ok", "stream_error"),
        (encode_frame("#tombstone", {}), "#tombstone", "ok", "unknown_type"),
        (encode({"op": 7}) + encode({"seq": "x", "did": 5}), None, "ok", "unknown_type"),
        (encode_frame("#identity", {"seq": 0, "did": DID}), "#identity", "invalid", "bad_envelope"),
        (encode({"op": -1}) + encode({"no": "error"}), "error", "invalid", "bad_envelope"),
        (b"", None, "invalid", "bad_frame"),
        (b"\xff", None, "invalid", "bad_frame"),
        (encode(payload), None, "invalid", "bad_frame"),
        (first, "#commit", "skip", "replayed_rev"),
    ]
    path = tmp_path / "frames.bin"
    path.write_bytes(stored(*(message for message, *_ in messages)))
    ran = called(capsysbinary, "verify", path, "--dids", dids_file(tmp_path, it))
    assert ran.code == 0
    for row, (_, kind, verdict, reason) in zip(ran.rows, messages, strict=True):
        assert (row["type"], row["verdict"]) == (kind, verdict), row
        assert row["reason"] == (reason or row["reason"])
        assert bool(row.get("detail")) >= (verdict == "invalid")
    assert ran.rows[0]["seq"] == 1
    assert ran.rows[0]["did"] == DID


def test_strict_is_content_with_what_was_seen_before(tmp_path: Path, capsysbinary: Capture) -> None:
    it, path = repo(), tmp_path / "frames.bin"
    first = it.commit().frame()
    for messages, code in (((first, first), 0), ((first, b""), 1)):
        path.write_bytes(stored(*messages))
        assert called(capsysbinary, "verify", path, "--strict", "--dids", dids_file(tmp_path, it)).code == code


def test_a_rev_from_the_future_is_invalid(tmp_path: Path, capsysbinary: Capture) -> None:
    it, path = repo(now_us=4_000_000_000_000_000), tmp_path / "frames.bin"
    path.write_bytes(stored(it.commit().frame()))
    (row,) = called(capsysbinary, "verify", path, "--dids", dids_file(tmp_path, it)).rows
    assert (row["verdict"], row["reason"]) == ("invalid", "future_rev")


async def test_a_run_goes_with_the_clock() -> None:
    # Frames may come from a pipe for hours: what was the future at the start of the run is not for ever.
    it, run = repo(), Run(NoKeys())
    message, rev_us = it.commit().frame(), it.host.now_us
    early = await run.verify(message, rev_us - 6 * 60 * 1_000_000)
    late = await run.verify(message, rev_us + 1)
    assert [early["reason"], late["reason"]] == ["future_rev", "identity_unresolved"]


def test_a_time_that_no_calendar_holds_is_no_obstacle(tmp_path: Path, capsysbinary: Capture) -> None:
    did, path = next(iter(documents("live-pds1"))), tmp_path / "frames.bin"
    times = ("0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:60-23:59", "2026-11-22T13:52:60Z")
    messages = [
        encode_frame("#sync", {"seq": 1, "did": did, "rev": "3lbomqvqtzs2a", "blocks": b"\0", "time": time})
        for time in times
    ]
    path.write_bytes(stored(*messages))
    rows = called(capsysbinary, "verify", path, "--dids", fixture("frames/dids.json")).rows
    assert {(row["verdict"], row["reason"]) for row in rows} == {("invalid", "bad_car")}


def test_standard_input_is_a_file_too(capsysbinary: Capture) -> None:
    path, dids = fixture("frames/live-pds1.bin"), fixture("frames/dids.json")
    piped = ingester("verify", "-", "--dids", dids, stdin=path.read_bytes())
    assert piped == called(capsysbinary, "verify", path, "--dids", dids)


def test_a_frame_beyond_the_limit_is_passed_over(tmp_path: Path, capsysbinary: Capture) -> None:
    large = bytes(2 * MAX_FRAME_BYTES + 1)
    most = encode_frame("#identity", {"seq": 5, "did": DID, "time": "2026-11-22T13:52:00Z", "x": b""})
    most = encode_frame(
        "#identity",
        {"seq": 5, "did": DID, "time": "2026-11-22T13:52:00Z", "x": bytes(MAX_FRAME_BYTES - len(most) - 4)},
    )
    assert len(most) == MAX_FRAME_BYTES
    path = tmp_path / "frames.bin"
    path.write_bytes(stored(large, IDENTITY, most, most + b"\0"))
    ran = called(capsysbinary, "verify", path)
    assert ran.code == 0
    assert [row["reason"] for row in ran.rows] == [
        "frame_too_large",
        "refresh_identity",
        "refresh_identity",
        "frame_too_large",
    ]


def test_a_file_that_is_cut_off_is_said_to_be() -> None:
    at = len(stored(IDENTITY))
    for tail in (b"\0", b"\0\0\0", b"\0\0\0\1", stored(IDENTITY)[:-1], b"\xff\xff\xff\xff" + bytes(100)):
        found = read_frames(io.BytesIO(stored(IDENTITY) + tail))
        assert next(found) == (IDENTITY, at)
        with pytest.raises(CommandError, match=rf"at byte {at}$"):
            next(found)
    assert list(read_frames(io.BytesIO(stored(b"", IDENTITY)))) == [(b"", 4), (IDENTITY, 4 + at)]


def test_frames_before_the_cut_are_not_lost() -> None:
    ran = ingester("verify", "-", stdin=stored(IDENTITY) + b"\0")
    assert [row["verdict"] for row in ran.rows] == ["ok"]
    assert ran.code == 2
    assert ran.error == f"python -m ingester: the file is cut off in the length at byte {len(stored(IDENTITY))}\n"


def test_an_empty_file_holds_no_frames(tmp_path: Path, capsysbinary: Capture) -> None:
    path = tmp_path / "frames.bin"
    path.touch()
    ran = called(capsysbinary, "verify", path)
    assert (ran.code, ran.out) == (0, b"")
    assert ran.error.startswith("0 frames")


def test_files_that_cannot_be_used_are_one_sentence(tmp_path: Path, capsysbinary: Capture) -> None:
    frames_file = tmp_path / "frames.bin"
    frames_file.write_bytes(stored(IDENTITY))
    (tmp_path / "not.json").write_bytes(b"{\xff")
    (tmp_path / "list.json").write_text("[]")
    for arguments, message in [
        ((tmp_path / "nowhere",), "No such file or directory"),
        ((tmp_path,), "Is a directory"),
        ((frames_file, "--dids", tmp_path / "nowhere"), "No such file or directory"),
        ((frames_file, "--dids", tmp_path), "Is a directory"),
        ((frames_file, "--dids", tmp_path / "not.json"), "is not JSON"),
        ((frames_file, "--dids", tmp_path / "list.json"), "is not a map of DIDs"),
        ((frames_file, "--plc", "ftp://plc.example"), "cannot be asked"),
        ((frames_file, "--plc", "http://"), "cannot be asked"),
        ((frames_file, "--plc", "http://a b/"), "cannot be asked"),
        ((frames_file, "--plc", "nonsense"), "cannot be asked"),
    ]:
        ran = called(capsysbinary, "verify", *arguments)
        assert (ran.code, ran.out) == (2, b""), arguments
        assert message in ran.error
        assert ran.error.startswith("python -m ingester: ")
        assert ran.error.count("\n") == 1


def test_wrong_arguments_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["verify"], ["verify", "x", "--dids", "a", "--plc", "b"], ["nonsense"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert "usage: python -m ingester" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        main(["verify", "--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("--dids", "--plc", "--strict", "discontinuous"))


async def test_entries_of_the_dids_file_that_are_no_use_are_of_no_telling(tmp_path: Path) -> None:
    document = repo().did_document()
    key = PublicKey.from_multikey(document["verificationMethod"][0]["publicKeyMultibase"])
    entries: list[tuple[Any, Signer | None]] = [
        ({"doc": document}, Signer(key)),
        ({"doc": document, "log": []}, Signer(key)),
        ({"doc": document, "log": [{"createdAt": "now"}]}, Signer(key)),
        ({"doc": document, "log": [{"createdAt": "2026-11-22T13:52:00"}]}, Signer(key)),
        ({"doc": document, "log": [5]}, Signer(key)),
        ({"doc": document, "log": "log"}, Signer(key)),
        ({"doc": document, "log": 5}, Signer(key)),
        ({"doc": {**document, "verificationMethod": []}}, Signer(None)),
        ({"doc": {**document, "id": "did:plc:other"}}, None),
        ({"doc": None}, None),
        ({}, None),
        ([], None),
        (None, None),
    ]
    for entry, expected in entries:
        path = tmp_path / "dids.json"
        path.write_text(json.dumps({DID: entry}))
        source = DidsFile(path)
        assert await source.signer(DID, datetime(2026, 11, 22, tzinfo=UTC)) == expected, entry
        assert await source.signer("did:web:other.example", datetime(2026, 11, 22, tzinfo=UTC)) is None


async def test_the_key_is_the_one_of_the_time(tmp_path: Path) -> None:
    logs = documents("live-pds2")
    source = DidsFile(fixture("frames/dids.json"))
    rotated = 0
    for did, entry in logs.items():
        times = sorted(datetime.fromisoformat(operation["createdAt"]) for operation in entry["log"])
        for when in (datetime.min.replace(tzinfo=UTC), *times, datetime.max.replace(tzinfo=UTC)):
            document = identity_at(did, entry["log"], when, dev=True)
            assert await source.signer(did, when) == Signer(document.signing_key if document else None)
        rotated += await source.signer(did, times[0]) != await source.signer(did, times[-1])
    assert rotated > 0


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    with subprocess.Popen(
        [*COMMAND, "verify", fixture("frames/load-commits-pds1.bin")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"seq":')
        process.stdout.close()
        error = process.stderr.read()
        assert process.wait(timeout=60) == 141
    assert error == b""


@contextmanager
def directory(logs: dict[str, Any]) -> Iterator[str]:
    """A PLC directory on loopback that knows `logs`; anything else is not registered."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            log = logs.get(self.path)
            body = json.dumps(log).encode()
            self.send_response(404 if log is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_directory_is_asked_for_the_keys(capsysbinary: Capture) -> None:
    logs = {f"/{did}/log/audit": entry["log"] for did, entry in documents("live-pds2").items()}
    with directory(logs) as url:
        asked = ingester("verify", fixture("frames/live-pds2.bin"), "--plc", url)
    read = called(capsysbinary, "verify", fixture("frames/live-pds2.bin"), "--dids", fixture("frames/dids.json"))
    assert asked == read


def test_a_directory_that_knows_nobody_or_does_not_answer_leaves_things_unchecked(capsysbinary: Capture) -> None:
    with directory({}) as url:
        rows = called(capsysbinary, "verify", fixture("frames/live-pds1.bin"), "--plc", url).rows
    assert {row["verdict"] for row in rows if row["type"] == "#commit"} == {"unchecked"}
    ran = called(capsysbinary, "verify", fixture("frames/live-pds1.bin"), "--plc", "http://127.0.0.1:1")
    assert ran.code == 0
    assert {row["verdict"] for row in ran.rows if row["type"] == "#commit"} == {"unchecked"}
