"""The settings: what is read, what follows, and what stops the start."""

from pathlib import Path

import pytest

from appview.config import PUBLIC_AVATARS, PUBLIC_RELAYS, Bind, Config, ConfigError, settings
from appview.net.policy import Endpoint

SECRET = "s" * 32


def loaded(**variables: str) -> Config:
    return Config.load({f"PLYR_{name}": value for name, value in variables.items()}, dotenv=None)


def refusal(**variables: str) -> str:
    with pytest.raises(ConfigError) as refused:
        loaded(**variables)
    return str(refused.value)


def test_nothing_set_is_a_machine_of_ones_own() -> None:
    config = loaded()
    assert config.database_url is config.redis_url is config.secret_key is None
    assert (config.bind_host, config.bind_port) == ("127.0.0.1", 8080)
    assert config.relay_urls == PUBLIC_RELAYS
    assert config.public_url == "http://localhost:8080"
    assert config.service_did == "did:web:localhost%3A8080"
    assert (config.namespace, config.shard, config.dev, config.log) == ("fm.plyr", "0/1", False, "text")


def test_everything_set() -> None:
    config = loaded(
        DATABASE_URL="postgresql://a:b@db/plyr",
        DATABASE_READ_URL="postgres://a:b@replica/plyr?host=/run",
        REDIS_URL="unix:///run/redis?db=0",
        DATA_DIR="/var/lib/plyr",
        RELAY_URLS="wss://one.example, ws://two.example:81/,https://three.example,http://four.example,wss://one.example",
        PLC_URL="https://plc.example/",
        DISCOVERY_URL="https://relay.example",
        NAMESPACE="fm.plyr.dev",
        PUBLIC_URL="https://plyr.example/",
        BIND="[::]:443",
        SECRET_KEY=SECRET,
        LABELERS="did:plc:abc,did:web:labels.example",
        OPERATORS="did:plc:abc",
        SHARD="3/4",
        LOG="json",
    )
    assert config.relay_urls == (
        "wss://one.example",
        "ws://two.example:81",
        "https://three.example",
        "http://four.example",
    )
    assert config.plc_url == "https://plc.example"
    assert config.service_did == "did:web:plyr.example"
    assert config.bind == Bind("::", 443)
    assert config.labelers == ("did:plc:abc", "did:web:labels.example")
    assert config.data_dir == Path("/var/lib/plyr")


def test_a_port_in_a_did_web_is_percent_encoded() -> None:
    assert loaded(PUBLIC_URL="https://plyr.example:8443").service_did == "did:web:plyr.example%3A8443"


def test_avatars_come_from_bluesky_unless_the_network_is_ones_own() -> None:
    assert loaded().avatar_url == PUBLIC_AVATARS
    assert loaded(AVATAR_URL="pds").avatar_url is loaded(DEV="1").avatar_url is None
    own = "http://localhost:1/{cid}?of={did}"
    assert loaded(AVATAR_URL=own, DEV="1").avatar_url == own


def test_trusted_proxies_are_networks_and_by_default_this_machine() -> None:
    assert list(map(str, loaded().trusted_proxies)) == ["127.0.0.0/8", "::1/128"]
    assert list(map(str, loaded(TRUSTED_PROXIES="10.0.0.0/8, 192.0.2.1").trusted_proxies)) == [
        "10.0.0.0/8",
        "192.0.2.1/32",
    ]
    for wrong in ("10.0.0.1/8", "proxy.example", "*"):
        assert refusal(TRUSTED_PROXIES=wrong).startswith("PLYR_TRUSTED_PROXIES must hold addresses or networks")


def test_a_given_service_did_stands() -> None:
    assert loaded(SERVICE_DID="did:plc:abc").service_did == "did:plc:abc"


@pytest.mark.parametrize(
    ("name", "nearest"), [("DATABSE_URL", "PLYR_DATABASE_URL"), ("RELAYS", "PLYR_RELAY_URLS"), ("X", "PLYR_")]
)
def test_an_unknown_variable_is_named_with_the_nearest(name: str, nearest: str) -> None:
    said = refusal(**{name: "x"})
    assert f"no setting PLYR_{name}" in said
    assert f"nearest is {nearest}" in said


def test_other_variables_are_nobodys_business() -> None:
    Config.load({"HOME": "/", "PLYRFOO": "x", "PLYR_TEST_DATABASE_URL": "x"}, dotenv=None)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DATABASE_URL", "mysql://x", "postgresql://"),
        ("REDIS_URL", "/run/redis.sock", "redis://"),
        ("RELAY_URLS", "ftp://relay.example", "wss://"),
        ("RELAY_URLS", "wss://relay.example/xrpc/com.atproto.sync.subscribeRepos", "without a path"),
        ("RELAY_URLS", "wss://user@relay.example", "or a user"),
        ("RELAY_URLS", "wss://relay.example:99999", "must be a URL"),
        ("RELAY_URLS", "wss://", "without a path"),
        ("RELAY_URLS", ",", "names no relay"),
        ("PLC_URL", "plc.directory", "https://"),
        ("AVATAR_URL", "https://cdn.example/{did}", "{did} and {cid}"),
        ("AVATAR_URL", "{did}/{cid}", "must be a URL"),
        ("NAMESPACE", "fm plyr", "beginning of NSIDs"),
        ("PUBLIC_URL", "http://plyr.example", "https://"),
        ("BIND", "8080", "host:port"),
        ("BIND", "127.0.0.1:65536", "host:port"),
        ("SERVICE_DID", "plyr.example", "not a DID"),
        ("SECRET_KEY", "short", "32 characters"),
        ("OPERATORS", "did:plc:abc,alice.example", "'alice.example'"),
        ("SHARD", "1/1", "i/n"),
        ("SHARD", "0/0", "i/n"),
        ("SHARD", "00/1", "i/n"),
        ("DEV", "yes", "0 or 1"),
        ("LOG", "xml", "text or json"),
    ],
)
def test_what_cannot_be_is_one_sentence_with_the_variable(name: str, value: str, said: str) -> None:
    refused = refusal(**{name: value})
    assert refused.startswith(f"PLYR_{name} ")
    assert said in refused
    assert "\n" not in refused


def test_development_opens_loopback_and_production_does_not() -> None:
    dev = loaded(DEV="1", RESOLVE="*.pds1.test=127.0.0.1:2583").policy()
    assert dev.permits("127.0.0.1", 2583)
    assert dev.hosts.find("alice.pds1.test") == Endpoint("127.0.0.1", 2583)
    production = loaded().policy()
    assert not production.permits("127.0.0.1", 443)
    assert production.permits("1.1.1.1", 443)


def test_development_is_refused_where_the_world_reaches_us() -> None:
    assert refusal(DEV="1", PUBLIC_URL="https://plyr.example").startswith("PLYR_DEV ")
    assert loaded(DEV="1", PUBLIC_URL="http://[::1]:8080").dev
    assert loaded(DEV="1", PUBLIC_URL="https://plyr.test", RESOLVE="plyr.test=127.0.0.1:8080").dev


def test_resolve_is_for_development() -> None:
    assert "PLYR_DEV=1" in refusal(RESOLVE="plyr.test=127.0.0.1:8080")
    assert refusal(DEV="1", RESOLVE="plyr.test").startswith("PLYR_RESOLVE ")


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# ours\nPLYR_SHARD=1/2\nexport PLYR_LOG='json'\nPLYR_NAMESPACE=fm.other\nPATH=/nowhere\n")
    config = Config.load({"PLYR_SHARD": "0/2", "PLYR_NAMESPACE": ""}, file)
    assert (config.shard, config.log, config.namespace) == ("0/2", "json", "fm.plyr")


def test_an_unknown_variable_in_the_file_stops_the_start_too(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PLYR_SHRAD=1/2\n")
    with pytest.raises(ConfigError, match="PLYR_SHARD"):
        Config.load({}, file)


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(b"PLYR_LOG=\xff\n")
    with pytest.raises(ConfigError, match=r"\.env cannot be read"):
        Config.load({}, file)


def test_former_secret_keys_follow_one_that_is_in_use() -> None:
    former = "a" * 32, "b" * 40
    assert loaded(SECRET_KEY=SECRET, OLD_SECRET_KEYS=", ".join(former)).old_secret_keys == former
    assert loaded(SECRET_KEY=SECRET).old_secret_keys == ()
    assert "need a PLYR_SECRET_KEY" in refusal(OLD_SECRET_KEYS=former[0])
    assert "the key that PLYR_SECRET_KEY is" in refusal(SECRET_KEY=SECRET, OLD_SECRET_KEYS=f"{former[0]},{SECRET}")
    said = refusal(SECRET_KEY=SECRET, OLD_SECRET_KEYS=f"{former[0]},hush")
    assert said.startswith("PLYR_OLD_SECRET_KEYS must be at least 32 characters")
    assert "hush" not in said


def test_no_secret_is_shown() -> None:
    config = loaded(DATABASE_URL=f"postgresql://a:{SECRET}@db/plyr", SECRET_KEY=SECRET, OLD_SECRET_KEYS="a" * 32)
    assert SECRET not in repr(config)
    assert "a" * 32 not in repr(config)


def test_every_field_is_a_variable_of_its_own() -> None:
    variables = [setting.variable for setting in settings().values()]
    assert len(set(variables)) == len(variables)
    assert all(variable.startswith("PLYR_") for variable in variables)
