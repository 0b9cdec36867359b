"""The README says what is so."""

import re
from pathlib import Path

from appview.config import settings

README = (Path(__file__).parents[1] / "README.md").read_text()


def section(title: str) -> str:
    """What stands under the heading `title`."""
    found = re.search(rf"^## {re.escape(title)}$(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    assert found, f"the README has no section {title}"
    return found[1]


def test_every_setting_has_its_line_in_the_order_of_the_fields() -> None:
    lines = re.findall(r"^\| `(PLYR_[A-Z_]+)` \| .+ \| .+ \|$", section("Settings"), re.MULTILINE)
    assert lines == [setting.variable for setting in settings().values()]


def test_the_defaults_are_those_of_the_code() -> None:
    defaults = dict(re.findall(r"^\| `(PLYR_[A-Z_]+)` \| `([^`]+)` \|", section("Settings"), re.MULTILINE))
    for setting in settings().values():
        if setting.variable in defaults and setting.derive is None:
            assert setting.read(defaults[setting.variable]) == setting.default, setting.variable
