"""Whose things are shown: the one condition, in SQL, that every query puts before its LIMIT (rule 6).

What an account made is shown while its host says that it is active and nobody here took it down. An account without a
row is not visible: whoever writes a record of it writes the row first.
"""


def visible(did: str) -> str:
    """The SQL condition that the account in the column `did`, written with its table, is visible."""
    return f"exists (select from actors where actors.did = {did} and actors.visible)"


def hidden(did: str) -> str:
    """The SQL condition that the account in the column `did` is known, and not visible.

    For accounts that others mention: one that was never seen may be mentioned, as it has nothing here to hide.
    """
    return f"exists (select from actors where actors.did = {did} and not actors.visible)"
