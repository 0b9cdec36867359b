"""DNS against a real name server on loopback."""

import pytest

from appview.net.errors import NoSuchHost, Unreachable
from appview.net.lookup import Dns
from tests.appview.net.servers import name_server


async def test_addresses() -> None:
    zone = {
        ("both.net", "A"): ["1.2.3.4", "1.2.3.5"],
        ("both.net", "AAAA"): ["2001:db8::1"],
        ("four.net", "A"): ["1.2.3.4"],
        ("six.net", "AAAA"): ["2001:db8::1"],
        ("text.net", "TXT"): ['"x"'],
    }
    async with name_server(zone) as server:
        dns = Dns(server.address)
        assert sorted(await dns.addresses("both.net")) == ["1.2.3.4", "1.2.3.5", "2001:db8::1"]
        assert await dns.addresses("four.net") == ["1.2.3.4"]
        assert await dns.addresses("six.net") == ["2001:db8::1"]
        for none in ("text.net", "none.net"):
            with pytest.raises(NoSuchHost):
                await dns.addresses(none)


async def test_localhost_asks_nobody() -> None:
    async with name_server({}) as server:
        assert "127.0.0.1" in await Dns(server.address).addresses("localhost")
        assert server.asked == []


async def test_a_silent_name_server() -> None:
    async with name_server({("a.net", "A"): None, ("a.net", "AAAA"): None, ("a.net", "TXT"): None}) as server:
        dns = Dns(server.address, lifetime=0.2)
        with pytest.raises(Unreachable) as caught:
            await dns.addresses("a.net")
        assert not isinstance(caught.value, NoSuchHost)
        with pytest.raises(Unreachable):
            await dns.texts("a.net")


@pytest.mark.parametrize(("silent", "heard"), [("A", "AAAA"), ("AAAA", "A")])
async def test_half_an_answer(silent: str, heard: str) -> None:
    address = {"A": "1.2.3.4", "AAAA": "2001:db8::1"}[heard]
    zone = {("a.net", silent): None, ("a.net", heard): [address], ("b.net", silent): None, ("b.net", heard): []}
    async with name_server(zone) as server:
        dns = Dns(server.address, lifetime=0.2)
        assert await dns.addresses("a.net") == [address]
        with pytest.raises(Unreachable) as caught:
            await dns.addresses("b.net")
        assert not isinstance(caught.value, NoSuchHost)


async def test_texts() -> None:
    long = "x" * 250
    zone = {("a.net", "TXT"): [f'"did=" "{long}" "{long}"', r'"\255"', '"two"'], ("b.net", "A"): ["1.2.3.4"]}
    async with name_server(zone) as server:
        dns = Dns(server.address)
        assert sorted(await dns.texts("a.net")) == ["did=" + long + long, "two", "\ufffd"]
        assert await dns.texts("b.net") == []
        assert await dns.texts("c.net") == []
