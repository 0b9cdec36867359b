import tracemalloc

import pytest

from appview.net.policy import HostMap, Policy
from appview.reads.views.media import Media

DID = "did:plc:alice"
MB = 1_000_000
PRODUCTION = Media(Policy())
DEVELOPMENT = Media(Policy.development(HostMap.parse("pds.example=127.0.0.1:2583")))


@pytest.mark.parametrize(
    "url",
    [
        "https://audio.plyr.fm/audio/ada9cadc63efd822.wav",
        "https://pub-d4ed8a1e39d44dac85263d86ad5676fd.r2.dev/audio/1.mp3?x=1#t=10",
        "http://radio.fm:8000/stream",
        "https://93.184.216.34/1.mp3",
        "https://[2606:2800:220:1::1]/1.mp3",
    ],
)
def test_public_addresses_are_handed_out_as_they_are(url: str) -> None:
    assert PRODUCTION.link(url) == url
    assert DEVELOPMENT.link(url) == url


@pytest.mark.parametrize(
    "url",
    [
        None,
        7,
        "",
        "audio.mp3",
        "//a.fm/1.mp3",
        "javascript:alert(1)",
        "JAVASCRIPT:alert(1)",
        "data:audio/mpeg;base64,AAAA",
        "file:///etc/passwd",
        "ftp://a.fm/1.mp3",
        "blob:https://a.fm/1",
        "https:///1.mp3",
        "https://",
        "https://a.fm:0/",
        "https://a.fm:99999/",
        "https://user@a.fm/",
        "https://a.fm/ö.mp3",
        "https://a.fm/a b",
        "https://a.fm/\n",
        "https://intranet/",
        "https://a.internal/",
        "https://a.local/",
        "https://a.onion/",
        "http://0.0.0.0/",
        "http://10.0.0.1/",
        "http://100.64.0.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://192.168.0.1/",
        "http://[::ffff:169.254.169.254]/",
        "http://[fe80::1%25eth0]/",
        "http://0x7f.1/",
        "http://2852039166/",
        "https://a.fm/" + "x" * 8192,
    ],
)
def test_nothing_else_is(url: object) -> None:
    assert PRODUCTION.link(url) is None
    assert DEVELOPMENT.link(url) is None


@pytest.mark.parametrize("url", ["http://localhost:2583/", "http://127.0.0.1/1.mp3", "https://pds.test/"])
def test_what_only_development_has(url: str) -> None:
    assert DEVELOPMENT.link(url) == url
    assert PRODUCTION.link(url) is None


def test_of_many_addresses_little_is_remembered() -> None:
    media = Media(Policy())
    path = "x" * 8_000
    tracemalloc.start()
    try:
        for n in range(500):
            assert media.link(f"https://a.fm/{n}{path}") is not None
            assert media.link(f"https://{n}{path}.fm/") is None
        assert tracemalloc.get_traced_memory()[0] < MB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("end", ["", "/", "?x", "#x", ":443", ":443/", "/@b.fm", "?@b.fm"])
def test_where_a_host_ends(end: str) -> None:
    assert PRODUCTION.link(f"https://A.fm{end}") == f"https://A.fm{end}"
    for host in ("a.local", "10.0.0.1", "a.fm@a.local", "a.fm\\", "a.fm:x"):
        assert PRODUCTION.link(f"https://{host}{end}") is None


def test_the_longest_host() -> None:
    longest = ".".join(["x" * 63] * 3 + ["x" * 61])
    assert PRODUCTION.link(f"https://{longest}:65535/") is not None
    assert PRODUCTION.link(f"https://x{longest}:65535/") is None


def test_a_blob_is_where_the_pds_serves_it() -> None:
    at_pds = f"/xrpc/com.atproto.sync.getBlob?did={DID}&cid=bafk"
    for media, pds in (
        (PRODUCTION, "https://pds.fm"),
        (PRODUCTION, "https://pds.fm:8443"),
        (DEVELOPMENT, "http://localhost:2583"),
        (DEVELOPMENT, "https://pds.example"),
    ):
        assert media.blob(pds, DID, "bafk") == pds + at_pds
    for nowhere in (None, "http://pds.fm", "https://10.0.0.1", "https://localhost", "https://pds.test"):
        assert PRODUCTION.blob(nowhere, DID, "bafk") is None


def test_a_did_cannot_break_out_of_its_parameter() -> None:
    url = PRODUCTION.blob("https://pds.fm", "did:web:localhost%3A1", "bafk")
    assert url == "https://pds.fm/xrpc/com.atproto.sync.getBlob?did=did:web:localhost%253A1&cid=bafk"


@pytest.mark.parametrize("pds", ["https://pds.fm", "https://10.0.0.1", None])
def test_an_avatar_is_where_the_pattern_says(pds: str | None) -> None:
    media = Media(Policy(), "https://cdn.fm/{did}/{cid}@jpeg")
    assert media.avatar(pds, "did:web:localhost%3A1", "bafk") == "https://cdn.fm/did:web:localhost%253A1/bafk@jpeg"
    assert PRODUCTION.avatar(pds, DID, "bafk") == PRODUCTION.blob(pds, DID, "bafk")
