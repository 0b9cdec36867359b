"""What is sealed opens for whom it was sealed, with the keys that are given, and says nothing to others."""

import pytest

from appview.accounts.vault import KEY_NAME, Unopenable, Vault, digest

OLD, NEW = "o" * 32, "n" * 32
SECRET = {"token": "very-secret", "n": 1, "none": None, "list": ["é"]}


def sealed(vault: Vault, purpose: str = "grant", owner: str = "1 did:plc:a") -> bytes:
    return vault.seal(SECRET, purpose=purpose, owner=owner)


def opened(vault: Vault, value: bytes, purpose: str = "grant", owner: str = "1 did:plc:a") -> object:
    return vault.open(value, purpose=purpose, owner=owner)


def test_what_is_sealed_opens_in_any_process_with_the_key() -> None:
    assert opened(Vault([NEW]), sealed(Vault([NEW]))) == SECRET


def test_nothing_of_it_is_to_be_read() -> None:
    value = sealed(Vault([NEW]))
    assert b"very-secret" not in value
    assert b"token" not in value
    assert sealed(Vault([NEW])) != value, "the same secret twice is not to be told from two"
    assert NEW not in repr(Vault([NEW])) + str(vars(Vault([NEW]))["_cipher"])


@pytest.mark.parametrize(("purpose", "owner"), [("grant", "2 did:plc:a"), ("request", "1 did:plc:a"), ("", "")])
def test_it_opens_for_no_other_row_and_no_other_purpose(purpose: str, owner: str) -> None:
    vault = Vault([NEW])
    with pytest.raises(Unopenable):
        opened(vault, sealed(vault), purpose, owner)


def test_what_is_joined_is_told_apart() -> None:
    vault = Vault([NEW])
    with pytest.raises(Unopenable):
        opened(vault, sealed(vault, "a", "b c"), "a b", "c")


def test_any_bit_that_is_changed_keeps_it_shut() -> None:
    vault = Vault([NEW])
    value = sealed(vault)
    for place in range(len(value)):
        changed = bytearray(value)
        changed[place] ^= 1
        with pytest.raises(Unopenable):
            opened(vault, bytes(changed))


@pytest.mark.parametrize("length", [0, 1, KEY_NAME, KEY_NAME + 11, KEY_NAME + 12, KEY_NAME + 27])
def test_a_piece_of_it_does_not_open(length: int) -> None:
    vault = Vault([NEW])
    with pytest.raises(Unopenable):
        opened(vault, sealed(vault)[:length])


def test_a_former_key_opens_and_the_current_one_seals() -> None:
    before, after = Vault([OLD]), Vault([NEW, OLD])
    value = sealed(before)
    assert opened(after, value) == SECRET
    assert not after.is_current(value)
    assert after.is_current(sealed(after))
    assert sealed(after).startswith(after.key_names[0])
    assert value.startswith(after.key_names[1])
    with pytest.raises(Unopenable):
        opened(before, sealed(after))
    with pytest.raises(Unopenable):
        opened(Vault([NEW]), value)


def test_the_name_of_a_key_says_nothing_of_it() -> None:
    vault = Vault([NEW, OLD])
    assert len({name[1:] for name in vault.key_names}) == 2
    assert all(len(name) == KEY_NAME and NEW.encode()[:4] not in name for name in vault.key_names)


def test_a_digest_is_of_32_bytes_and_its_own() -> None:
    assert len(digest("a")) == 32
    assert digest("a") == digest("a") != digest("b")
