"""A file sealed anew under another key, and keys that come and go."""

from __future__ import annotations

from pathlib import Path

import pytest

from lockstep.errors import KeyMissing, KeyringError, SealDamaged
from lockstep.sealing.header import parse_header
from lockstep.sealing.keyring import KEY_VARIABLE, open_keyring, set_up_keys
from lockstep.sealing.keys import to_token
from lockstep.sealing.rotation import activate_key, add_key, destroy_key, reseal, vault_of_new_key
from lockstep.sealing.vault import open_vault

from .conftest import EXPECTED


@pytest.fixture(autouse=True)
def old(tmp_path: Path, keyring_file: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return set_up_keys("demo", tmp_path / "key-id").key_id


@pytest.mark.parametrize("size", [0, 1, 16384, 1 << 20, (2 << 20) + 5])
def test_resealed_is_what_the_new_key_seals(size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    open_vault("demo", "key-id").write("a.sealed", content[:size], **EXPECTED)
    vault, key = vault_of_new_key("demo")
    reseal(vault, Path("a.sealed"), Path("b.sealed"))
    assert Path("b.sealed").read_bytes() == vault.seal(content[:size], **EXPECTED)
    assert key.id not in open_keyring("demo").keys


def test_a_random_salt_stays_random() -> None:
    open_vault("demo", "key-id").write("a.sealed", b"x", random_salt=True, **EXPECTED)
    vault, key = vault_of_new_key("demo")
    sealed = []
    for target in (Path("b.sealed"), Path("c.sealed")):
        reseal(vault, Path("a.sealed"), target)
        sealed.append(target.read_bytes())
        header, _ = parse_header(sealed[-1])
        assert (header.random_salt, header.key_id) == (True, key.id)
    assert sealed[0] != sealed[1]


def test_what_is_damaged_is_not_resealed() -> None:
    sealed = open_vault("demo", "key-id").seal(bytes(100_000), **EXPECTED)
    Path("a.sealed").write_bytes(sealed[:50_000] + b"?" + sealed[50_001:])
    vault, _ = vault_of_new_key("demo")
    with pytest.raises(SealDamaged, match=r"a\.sealed"):
        reseal(vault, Path("a.sealed"), Path("b.sealed"))
    assert sorted(path.name for path in Path().iterdir() if path.is_file()) == ["a.sealed", "key-id"]


def test_a_key_comes_becomes_active_and_goes(old: str) -> None:
    vault, key = vault_of_new_key("demo")
    digest = vault.digest(b"x")
    add_key("demo", key)
    add_key("demo", key)
    assert (list(open_keyring("demo").keys), open_keyring("demo").active) == ([old, key.id], old)
    with pytest.raises(KeyringError, match="active"):
        destroy_key("demo", old)
    activate_key("demo", key.id)
    destroy_key("demo", old)
    assert list(open_keyring("demo").keys) == [key.id]
    assert open_keyring("demo").digest(b"x") == digest
    for change in (activate_key, destroy_key):
        with pytest.raises(KeyMissing, match=old):
            change("demo", old)


def test_a_key_in_the_environment_does_not_change(monkeypatch: pytest.MonkeyPatch, old: str) -> None:
    keyring = open_keyring("demo")
    monkeypatch.setenv(KEY_VARIABLE, to_token(keyring.keys[old], keyring.digest_key))
    with pytest.raises(KeyringError, match=KEY_VARIABLE):
        vault_of_new_key("demo")
    with pytest.raises(KeyringError, match=KEY_VARIABLE):
        destroy_key("demo", old)
