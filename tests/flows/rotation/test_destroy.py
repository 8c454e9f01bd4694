"""`lockstep keys destroy`: says what it costs, asks, and what the key opened is gone."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from lockstep.errors import KeyMissing, UsageError
from lockstep.sealing.keyring import KEYRING_VARIABLE, open_keyring
from lockstep.sealing.rotation import activate_key

from .conftest import assert_up_to_date, cached, contents, run_dvc, vault

Lockstep = Callable[..., str]


@pytest.fixture
def old(project: Path, lockstep: Lockstep) -> str:
    """Id of the key before a rotation."""
    key_id = open_keyring("demo").active
    lockstep("keys", "rotate")
    return key_id


def keyring_file() -> bytes:
    return Path(os.environ[KEYRING_VARIABLE]).read_bytes()


def test_older_versions_become_unreadable(project: Path, lockstep: Lockstep, old: str) -> None:
    printed = lockstep("keys", "destroy", old, given=f"{old}\n")
    assert "workspace: nothing" in printed
    assert "0 objects that dvc.lock names, 6 of older versions" in printed
    assert old not in open_keyring("demo").keys
    assert len(contents()) == 6
    assert_up_to_date(project)
    assert lockstep("fsck").count("its key is missing") == 6
    assert "0 to see to" in lockstep("fsck")


def test_every_cached_version_is_gone(project: Path, lockstep: Lockstep) -> None:
    lock, key_id = (project / "dvc.lock").read_bytes(), (project / "lockstep.key-id").read_text()
    lockstep("keys", "rotate")
    lockstep("keys", "destroy", key_id.strip(), "--yes")
    (project / "dvc.lock").write_bytes(lock)
    run_dvc(project, "checkout", "-q")
    for path in ("data/all.sealed", cached(project, "data/all.sealed")):
        with pytest.raises(KeyMissing, match=key_id.strip()):
            vault().read(path, role=None, schema=None)


@pytest.mark.parametrize("answer", ["", "y\n", "0123456789abcdef\n"])
def test_it_asks(project: Path, lockstep: Lockstep, old: str, answer: str) -> None:
    before = keyring_file()
    with pytest.raises((UsageError, AssertionError, typer.Abort)):
        lockstep("keys", "destroy", old, given=answer)
    assert keyring_file() == before


def test_a_key_in_use_is_refused(project: Path, lockstep: Lockstep, old: str) -> None:
    active = open_keyring("demo").active
    with pytest.raises(UsageError, match="This workspace seals with"):
        lockstep("keys", "destroy", active, "--yes")
    activate_key("demo", old)
    with pytest.raises(UsageError, match="active one"):
        lockstep("keys", "destroy", old, "--yes")
    with pytest.raises(KeyMissing):
        lockstep("keys", "destroy", "0" * 16, "--yes")
    lockstep("keys", "destroy", old, "--activate", active, "--yes")
    assert list(open_keyring("demo").keys) == [active]


def test_files_of_the_workspace_and_bundles_are_named(project: Path, lockstep: Lockstep, old: str) -> None:
    lock = (project / "dvc.lock").read_bytes()
    bundle = project / "registry" / "income" / "1"
    bundle.mkdir(parents=True)
    keyring = open_keyring("demo")
    from lockstep.sealing.vault import Vault

    earlier = Vault("demo", keyring, keyring.keys[old])
    earlier.write(bundle / "model.sealed", b"x", role="bundle-model", schema="litert/1")
    (bundle.parent / "champion.json").write_text('{"version": "1"}')
    earlier.write("data/all.sealed", b"x", role="source", schema="table/1")
    printed = lockstep("keys", "destroy", old, "--yes")
    assert "workspace: data/all.sealed" in printed
    assert "registry: income/1 (served)" in printed
    assert "income/1 can no longer be served: `lockstep deploy`" in printed
    assert (project / "dvc.lock").read_bytes() == lock


def test_the_old_keyrings_blocks_are_overwritten(lockstep: Lockstep, old: str, tmp_path: Path) -> None:
    still_linked = tmp_path / "blocks"
    still_linked.hardlink_to(os.environ[KEYRING_VARIABLE])
    size = still_linked.stat().st_size
    left_by_a_kill = Path(os.environ[KEYRING_VARIABLE]).with_name(".keyring.json.0123abcd.tmp")
    left_by_a_kill.write_bytes(keyring_file())
    lockstep("keys", "destroy", old, "--yes")
    assert not left_by_a_kill.exists()
    assert still_linked.read_bytes() == bytes(size)
