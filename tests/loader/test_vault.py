"""Sealed values open for their own row and key only; look-ups repeat; keys stay private."""

import pytest

from loader.lookup import VaultError, key_from_file, key_from_hex
from loader.vault import Vault, make_key_file

KEY = bytes(range(32))
PLACE = ("demo", "claims.payload", "row-1")


def test_a_sealed_value_opens_again():
    vault = Vault(KEY)

    sealed = vault.seal(b"Canarysson", *PLACE)

    assert vault.open(sealed, *PLACE) == b"Canarysson"
    assert b"Canarysson" not in sealed


def test_the_same_value_is_never_sealed_alike():
    vault = Vault(KEY)

    sealed = {vault.seal(b"x", *PLACE) for _ in range(100)}

    assert len(sealed) == 100


@pytest.mark.parametrize(
    "place",
    [
        ("other", "claims.payload", "row-1"),
        ("demo", "failed.payload", "row-1"),
        ("demo", "claims.payload", "row-2"),
    ],
)
def test_a_value_moved_to_another_tenant_column_or_row_does_not_open(place):
    vault = Vault(KEY)
    sealed = vault.seal(b"x", *PLACE)

    with pytest.raises(VaultError, match="changed, cut or moved"):
        vault.open(sealed, *place)


@pytest.mark.parametrize("position", [5, 17, -1])
def test_a_changed_byte_does_not_open(position):
    vault = Vault(KEY)
    sealed = bytearray(vault.seal(b"some text", *PLACE))
    sealed[position] ^= 1

    with pytest.raises(VaultError, match="changed, cut or moved"):
        vault.open(bytes(sealed), *PLACE)


def test_a_short_value_is_refused_not_misread():
    with pytest.raises(VaultError):
        Vault(KEY).open(b"\x01", *PLACE)


def test_another_key_is_named_by_its_id():
    mine, theirs = Vault(KEY), Vault(KEY[::-1])
    sealed = theirs.seal(b"x", *PLACE)

    with pytest.raises(VaultError, match=sealed[1:5].hex()):
        mine.open(sealed, *PLACE)


def test_a_lookup_repeats_within_a_tenant_and_tells_nothing_across():
    vault = Vault(KEY)

    key = vault.lookup("demo", "member", "M1")

    assert key == Vault(KEY).lookup("demo", "member", "M1")
    assert key != vault.lookup("other", "member", "M1")
    assert key != vault.lookup("demo", "account", "M1")
    assert key != Vault(KEY[::-1]).lookup("demo", "member", "M1")


def test_neither_text_nor_error_shows_the_key():
    assert KEY.hex() not in repr(Vault(KEY))
    with pytest.raises(VaultError) as refused:
        key_from_hex("ab" * 31)
    assert "ab" * 5 not in str(refused.value)


def test_a_new_key_file_is_for_its_owner_only_and_never_overwritten(tmp_path):
    path = tmp_path / "key"

    make_key_file(path)

    assert path.stat().st_mode & 0o777 == 0o600
    assert len(key_from_file(path)) == 32
    with pytest.raises(FileExistsError):
        make_key_file(path)


def test_a_key_file_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "key"
    make_key_file(path)
    path.chmod(0o640)

    with pytest.raises(VaultError, match="chmod 600"):
        key_from_file(path)
