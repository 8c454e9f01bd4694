"""A keyring and a vault of fixed keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from lockstep.sealing.keyring import Keyring
from lockstep.sealing.keys import DigestKey, Key
from lockstep.sealing.vault import Vault

EXPECTED = {"role": "train", "schema": "table/1"}


@pytest.fixture(scope="session")
def key() -> Key:
    return Key(bytes(range(32)))


@pytest.fixture(scope="session")
def vault(key: Key) -> Vault:
    keyring = Keyring({key.id: key}, key.id, DigestKey(bytes(range(32, 64))), "the tests' keyring")
    return Vault("vectors", keyring, key)


@pytest.fixture
def keyring_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the keyring of this test will lie; there is none yet."""
    path = tmp_path / "config" / "keyring.json"
    monkeypatch.setenv("LOCKSTEP_KEYRING", str(path))
    return path
