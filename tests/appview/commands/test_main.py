"""What every command has: help, and one sentence when it cannot be carried out."""

import re
from pathlib import Path

import pytest

from appview.__main__ import COMMANDS, main
from tests.appview.commands.running import appview, appview_in

NAMES = [command.__name__.rpartition(".")[2].replace("_", "-") for command in COMMANDS]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    assert f"python -m appview {name}" in capsys.readouterr().out


def test_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = capsys.readouterr().out
    assert all(re.search(rf"^    {name}( |$)", listed, re.MULTILINE) for name in NAMES)


@pytest.mark.parametrize("arguments", [[], ["nothing"], ["migrate", "--nothing"]])
def test_what_is_not_a_command_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2


@pytest.mark.parametrize("name", ["up", "migrate"])
def test_a_wrong_setting_is_one_sentence(name: str) -> None:
    ran = appview(name, RELAYS="x")
    assert ran.code == 2
    assert ran.error == "python -m appview: there is no setting PLYR_RELAYS; the nearest is PLYR_RELAY_URLS\n"


def test_the_file_of_settings_is_read_where_the_command_is_run(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PLYR_SHARD=7\n")
    assert appview_in(tmp_path, "migrate").error.startswith("python -m appview: PLYR_SHARD must read i/n")
