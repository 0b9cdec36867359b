"""The embedded Redis."""

from pathlib import Path

import pytest
from redis import AuthenticationError, Redis

from appview.embedded.folder import load_secrets
from appview.embedded.redis import EmbeddedRedis, redis
from appview.supervisor.service import ServiceError


def test_it_answers_who_has_the_password_and_keeps_nothing(folder: Path) -> None:
    with redis(folder) as url:
        with Redis.from_url(url) as client:
            assert client.ping()
            client.set("key", "value")
        guess = url.replace(load_secrets(folder).redis, "guess")
        with Redis.from_url(guess) as client, pytest.raises(AuthenticationError):
            client.ping()
    with redis(folder) as again, Redis.from_url(again) as client:
        assert again == url
        assert client.get("key") is None


def test_a_path_too_long_for_a_socket_means_loopback(folder: Path) -> None:
    with redis(folder / ("x" * 100)) as url, Redis.from_url(url) as client:
        assert "@127.0.0.1:" in url
        assert client.ping()


def test_an_odd_path_is_no_matter(folder: Path) -> None:
    with redis(folder / 'a "b" %c') as url, Redis.from_url(url) as client:
        assert client.ping()


def test_a_second_one_is_refused_in_one_sentence(folder: Path) -> None:
    with redis(folder), pytest.raises(ServiceError, match=f"redis already runs in {folder}"):
        EmbeddedRedis(folder)


def test_the_password_is_in_no_command_line(folder: Path) -> None:
    server = EmbeddedRedis(folder)
    server.close()
    assert not any(load_secrets(folder).redis in part for part in server.service.command)
    assert (folder / "redis" / "redis.conf").stat().st_mode & 0o777 == 0o600
