"""Whose address a request comes from: what proxies say, and what others write there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appview.config import Config
from xrpc.addresses import Addresses

DEFAULT = Config.load({}, dotenv=None).trusted_proxies
BEHIND = Config.load({"PLYR_TRUSTED_PROXIES": "10.0.0.0/8, 2001:db8:ff::/48,192.0.2.1"}, dotenv=None).trusted_proxies


def client(peer: str | None, *forwarded: str, trusted: object = BEHIND) -> str | None:
    headers = [(b"host", b"plyr.example"), *((b"x-forwarded-for", line.encode()) for line in forwarded)]
    scope = {"type": "http", "client": peer and (peer, 1234), "headers": headers}
    return Addresses(trusted, is_public=True).of(scope)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.7", (), "203.0.113.7"),
        # Whoever is no proxy of ours may write what they like.
        ("203.0.113.7", ("198.51.100.1",), "203.0.113.7"),
        ("203.0.113.7", ("127.0.0.1, 10.0.0.1",), "203.0.113.7"),
        ("127.0.0.1", ("198.51.100.1",), "127.0.0.1"),
        # A proxy of ours appends whom it saw: further left is what that one wrote.
        ("10.1.2.3", ("198.51.100.1",), "198.51.100.1"),
        ("10.1.2.3", ("1.1.1.1, 198.51.100.1",), "198.51.100.1"),
        ("10.1.2.3", ("1.1.1.1", "198.51.100.1"), "198.51.100.1"),
        ("10.1.2.3", ("1.1.1.1, 198.51.100.1, 192.0.2.1,10.9.9.9",), "198.51.100.1"),
        ("10.1.2.3", ("10.6.6.6, 198.51.100.1",), "198.51.100.1"),
        ("2001:db8:ff::1", ("198.51.100.1",), "198.51.100.1"),
        # All of it is ours: nobody from outside asks.
        ("10.1.2.3", (), None),
        ("10.1.2.3", ("10.2.2.2",), None),
        # Ports, brackets, and IPv4 in IPv6, as some proxies write them.
        ("10.1.2.3", ("198.51.100.1:4711",), "198.51.100.1"),
        ("10.1.2.3", ("[2001:db8:1:2:3::4]:4711",), "2001:db8:1:2::/64"),
        ("10.1.2.3", ("::ffff:198.51.100.1",), "198.51.100.1"),
        ("::ffff:10.1.2.3", ("198.51.100.1",), "198.51.100.1"),
        ("::ffff:203.0.113.7", (), "203.0.113.7"),
        # One customer has all of a /64.
        ("2001:db8:1:2::3", (), "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", (), "2001:db8:1:2::/64"),
        ("fe80::1%eth0", (), "fe80::/64"),
        # What is no address is said by the last that is known.
        ("10.1.2.3", ("unknown",), "10.1.2.3"),
        ("10.1.2.3", ("198.51.100.1, _hidden, 10.2.2.2",), "10.2.2.2"),
        ("10.1.2.3", ("198.51.100.1,",), "10.1.2.3"),
        ("a socket", (), None),
        (None, ("198.51.100.1",), None),
    ],
)
def test_the_client(peer: str | None, forwarded: tuple[str, ...], expected: str | None) -> None:
    assert client(peer, *forwarded) == expected


def test_by_default_this_machine_is_trusted_alone() -> None:
    assert client("127.0.0.1", "198.51.100.1", trusted=DEFAULT) == "198.51.100.1"
    assert client("::1", "198.51.100.1", trusted=DEFAULT) == "198.51.100.1"
    assert client("127.0.0.1", trusted=DEFAULT) is None
    assert client("10.1.2.3", "198.51.100.1", trusted=DEFAULT) == "10.1.2.3"


def test_a_long_header_is_read_at_its_end() -> None:
    assert client("10.1.2.3", "1.1.1.1, " * 10_000 + "198.51.100.1") == "198.51.100.1"


@given(st.lists(st.text(st.characters(max_codepoint=255)), max_size=5), st.integers(0, 255))
def test_nothing_that_a_client_writes_hides_it(written: list[str], last: int) -> None:
    address = f"198.51.100.{last}"
    headers = [(b"x-forwarded-for", line.encode("latin-1")) for line in [*written, address]]
    scope = {"type": "http", "client": ("10.1.2.3", 1), "headers": headers}
    assert Addresses(BEHIND, is_public=True).of(scope) == address


def peer_of(address: str, forwarded: bytes | None = None) -> dict[str, object]:
    headers = [] if forwarded is None else [(b"x-forwarded-for", forwarded)]
    return {"type": "http", "client": (address, 1), "headers": headers}


def test_a_proxy_that_nobody_named_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    addresses = Addresses(DEFAULT, is_public=False)
    for last in range(3):
        addresses.of(peer_of("172.17.0.1", b"198.51.100.%d" % last))
    assert [record.getMessage().split()[0] for record in caplog.records] == ["172.17.0.1"]
    assert "PLYR_TRUSTED_PROXIES" in caplog.text


def test_a_proxy_that_names_nobody_is_said_once_where_strangers_ask(caplog: pytest.LogCaptureFixture) -> None:
    at_home, in_public = Addresses(DEFAULT, is_public=False), Addresses(DEFAULT, is_public=True)
    assert (
        at_home.of(peer_of("127.0.0.1")) is in_public.of(peer_of("127.0.0.1")) is in_public.of(peer_of("::1")) is None
    )
    assert [record.getMessage().split()[0] for record in caplog.records] == ["127.0.0.1"]
    assert "have it send X-Forwarded-For" in caplog.text
