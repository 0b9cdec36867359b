"""Which URLs and addresses pass, by tables; no network."""

import pytest
from yarl import URL

from appview.net.errors import Refused
from appview.net.policy import Endpoint, HostMap, Policy, parse_url
from tests.appview.net.servers import words

PRODUCTION = Policy()
DEVELOPMENT = Policy.development(HostMap.parse("*.pds1.test=127.0.0.1:2583,app.music-test.net=[::1]:8080"))

CLOSED_ADDRESSES = words("""
    0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.100.100.200 100.127.255.255 127.0.0.1 127.255.255.254 168.63.129.16
    169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.192 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1
    198.19.255.255 198.51.100.7 203.0.113.9 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255 :: ::1
    ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:169.254.169.254 ::ffff:0:8.8.8.8 64:ff9b::8.8.8.8
    64:ff9b::10.0.0.1 64:ff9b:1::1 100::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:2::1 2001:10::1
    2001:20::1 2001:db8::1 2002:7f00:1:: 2002:808:808::1 3fff::1 5f00::1 fc00::1 fd00:ec2::254 fe80::1
    fe80::1%eth0 2606:4700::1%1 fec0::1 ff02::1 ff0e::1
""")

OPEN_ADDRESSES = words("""
    1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 169.253.255.255
    172.15.255.255 172.32.0.0 192.0.1.0 192.167.255.255 198.17.255.255 223.255.255.255 2001:200::1
    2001:4860:4860::8888 2606:4700::1111 2a00:1450::1 3ffe::1
""")


@pytest.mark.parametrize("address", CLOSED_ADDRESSES)
def test_closed_address(address: str) -> None:
    assert not PRODUCTION.permits(address, 443)


@pytest.mark.parametrize("address", OPEN_ADDRESSES)
def test_open_address(address: str) -> None:
    assert PRODUCTION.permits(address, 443)


@pytest.mark.parametrize(
    "text", ["", "example.com", "127.1", "0x7f000001", "2130706433", "010.0.0.1", "1.2.3.4 ", "[::1]"]
)
def test_not_an_address(text: str) -> None:
    assert not PRODUCTION.permits(text, 443)


CLOSED_HOSTS = words("""
    127.0.0.1 127.1 127.0.1 2130706433 017700000001 0177.0.0.1 0x7f.0.0.1 0x7f000001 0X7F.1 0 0x 1.2.3.04 1.2.3.256
    1.2.3.4.5 10.1 169.254.169.254 2852039166 0xA9FEA9FE localhost.1 %31%32%37.0.0.1 127.0.0.1. 8.8.8.8.
    [::1] [::] [::127.0.0.1] [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:7f00:1] [::ffff:8.8.8.8]
    [64:ff9b::7f00:1] [2002:7f00:1::] [fe80::1%25eth0] [2606:4700::1%25eth0] [fd00:ec2::254]
    localhost LOCALHOST localhost. a.localhost pds intranet printer.local metadata.google.internal a.onion a.alt
    a.example a.invalid a.home.arpa alice.test a_b.com -a.com a-.com a..com a%2eb.com example.com. .com
""")


@pytest.mark.parametrize("host", [*CLOSED_HOSTS, "a" * 64 + ".com", ".".join(["a" * 60] * 5) + ".com"])
def test_refused_host(host: str) -> None:
    with pytest.raises(Refused):
        PRODUCTION.vet(parse_url(f"https://{host}/x"))


# The second and third are digits and dots that IDNA folds into 127.0.0.1.
@pytest.mark.parametrize(
    "host", ["", "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021", "fa\u00df.de", "a\nb.com", "a b.com", "[::1"]
)
def test_host_that_no_url_has(host: str) -> None:
    with pytest.raises(Refused):
        PRODUCTION.vet(parse_url(f"https://{host}/"))


@pytest.mark.parametrize(
    "host", ["plc.directory", "xn--fa-hia.de", "8.8.8.8", "[2606:4700::1111]", "EXAMPLE.com", "a.b.c.d.e.dev"]
)
def test_open_host(host: str) -> None:
    assert PRODUCTION.vet(parse_url(f"https://{host}/x?y=z#part")).path_qs == "/x?y=z"


CLOSED_URLS = words("""
    http://plc.directory/ ftp://plc.directory/ file:///etc/passwd gopher://plc.directory:70/ //plc.directory/ /path
    data:,x https:///x https://plc.directory:8443/ https://plc.directory:80/ https://plc.directory:22/
    https://plc.directory:0/ https://plc.directory:99999/ https://plc.directory:x/ https://user@plc.directory/
    https://user:pass@plc.directory/ https://:pass@plc.directory/ https://plc.directory\\@127.0.0.1/
""")


@pytest.mark.parametrize("url", [*CLOSED_URLS, "", "https://plc.directory/ x", "https://plc.directory/" + "a" * 8192])
def test_refused_url(url: str) -> None:
    with pytest.raises(Refused):
        PRODUCTION.vet(parse_url(url))


def test_credentials_may_not_hide_the_host() -> None:
    with pytest.raises(Refused, match="user name"):
        PRODUCTION.vet(parse_url("https://plc.directory@8.8.8.8/"))


@pytest.mark.parametrize(
    ("url", "vetted"),
    [
        ("http://localhost:2583/x", "http://localhost:2583/x"),
        ("http://127.0.0.1:2583/x", "http://127.0.0.1:2583/x"),
        ("https://[::1]:2583/x", "https://[::1]:2583/x"),
        ("https://bob.music.test/x", "https://bob.music.test/x"),
        ("https://bob.pds1.test/x#part", "http://bob.pds1.test/x"),
        ("https://bob.pds1.test:8443/x", "http://bob.pds1.test/x"),
        ("https://APP.music-test.net/x", "http://app.music-test.net/x"),
    ],
)
def test_development(url: str, vetted: str) -> None:
    assert str(DEVELOPMENT.vet(parse_url(url))) == vetted


CLOSED_IN_DEVELOPMENT = words("""
    169.254.169.254 10.0.0.1 0.0.0.0 2130706433 [::ffff:127.0.0.1] [::1%251] a.localhost a.local intranet
""")


@pytest.mark.parametrize("host", CLOSED_IN_DEVELOPMENT)
def test_development_stays_closed(host: str) -> None:
    with pytest.raises(Refused):
        DEVELOPMENT.vet(parse_url(f"http://{host}/x"))


def test_mapped_target_is_exact() -> None:
    policy = Policy.development(HostMap.parse("a.test=10.1.2.3:80"))
    assert policy.permits("10.1.2.3", 80)
    assert not policy.permits("10.1.2.3", 81)
    assert not policy.permits("10.1.2.4", 80)


def test_host_map() -> None:
    hosts = HostMap.parse(" *.pds1.test=127.0.0.1:1 ,*.b.pds1.test=127.0.0.1:2,a.pds1.test=[::1]:3,")
    assert hosts.find("x.pds1.test") == Endpoint("127.0.0.1", 1)
    assert hosts.find("x.y.pds1.test") == Endpoint("127.0.0.1", 1)
    assert hosts.find("x.b.pds1.test") == Endpoint("127.0.0.1", 2)
    assert hosts.find("a.pds1.test") == Endpoint("::1", 3)
    assert hosts.find("pds1.test") is None
    assert hosts.find("xpds1.test") is None
    assert HostMap.parse("").find("a.test") is None


BAD_MAPS = words("""
    a.test a.test= a.test=127.0.0.1 a.test=127.0.0.1:x a.test=host:80 =127.0.0.1:80 *=127.0.0.1:80 a.test=127.0.0.1:0
    a.test=127.0.0.1:65536 a*.test=127.0.0.1:80 a.test=127.1:80
""")


@pytest.mark.parametrize("text", BAD_MAPS)
def test_host_map_that_does_not_parse(text: str) -> None:
    with pytest.raises(ValueError, match="does not read host=ip:port"):
        HostMap.parse(text)


def test_trusting_one_origin() -> None:
    policy = Policy.trusting("http://10.0.0.5:2582/base")
    assert str(policy.vet(URL("http://10.0.0.5:2582/did"))) == "http://10.0.0.5:2582/did"
    assert policy.permits("10.0.0.5", 2582)
    for other in ("http://10.0.0.5:2583/", "https://10.0.0.5:2582/", "http://10.0.0.6:2582/", "https://plc.directory/"):
        with pytest.raises(Refused, match="one origin"):
            policy.vet(URL(other))


@pytest.mark.parametrize(
    ("host", "special"), [("a.TEST", True), ("a.Onion", True), ("test.com", False), ("a.tests", False)]
)
def test_special_names(host: str, special: bool) -> None:
    assert PRODUCTION.names_special(host) is special
    assert not DEVELOPMENT.names_special("a.test")


@pytest.mark.parametrize(
    "url", ["", "nonsense", "/path", "ftp://plc.example", "https://", "https:///path", "http://\n"]
)
def test_only_the_url_of_a_host_can_be_trusted(url: str) -> None:
    with pytest.raises(Refused):
        Policy.trusting(url)
