"""`lockstep keys destroy`: says what it costs, asks, and what the key opened is gone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from lockstep.errors import KeyMissing, KeyringError, UsageError
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


def test_what_is_no_output_is_named(project: Path, lockstep: Lockstep) -> None:
    old = open_keyring("demo").active
    vault().write("out/scores.sealed", b"x", role="predictions", schema="table/1", random_salt=True)
    vault().write(".lockstep/quarantine/data/train.sealed", b"x", role="train", schema="table/1")
    Path("notes").mkdir()
    Path("notes/unsealed.txt").write_text("in clear")
    named = ".lockstep/quarantine/data/train.sealed, out/scores.sealed"
    assert f"which are no outputs of the pipeline: {named}." in lockstep("keys", "rotate")
    printed = lockstep("keys", "destroy", old, "--yes")
    assert "outputs in the workspace: nothing" in printed
    assert f"other files in the workspace: {named}\n" in printed
    with pytest.raises(KeyMissing):
        vault().read("out/scores.sealed", role=None, schema=None)


def test_the_old_keyrings_blocks_are_overwritten(lockstep: Lockstep, old: str) -> None:
    left_by_a_kill = Path(os.environ[KEYRING_VARIABLE]).with_name(".keyring.json.0123abcd.tmp")
    left_by_a_kill.write_bytes(keyring_file())
    with Path(os.environ[KEYRING_VARIABLE]).open("rb") as blocks:
        size = len(blocks.read())
        lockstep("keys", "destroy", old, "--yes")
        blocks.seek(0)
        assert blocks.read() == bytes(size)
    assert not left_by_a_kill.exists()


def test_a_linked_keyring_stays_linked(lockstep: Lockstep, old: str, tmp_path: Path) -> None:
    link, real = Path(os.environ[KEYRING_VARIABLE]), tmp_path / "real" / "keyring.json"
    real.parent.mkdir(mode=0o700)
    link.rename(real)
    link.symlink_to(real)
    active = open_keyring("demo").active
    activate_key("demo", old)
    activate_key("demo", active)
    lockstep("keys", "destroy", old, "--yes")
    assert link.readlink() == real
    assert [key["id"] for key in json.loads(real.read_bytes())["keys"]] == [active]
    assert list(open_keyring("demo").keys) == [active]


def test_a_keyring_with_a_second_name_is_refused(lockstep: Lockstep, old: str, tmp_path: Path) -> None:
    (tmp_path / "theirs.json").hardlink_to(os.environ[KEYRING_VARIABLE])
    before = keyring_file()
    for change in (("destroy", old, "--yes"), ("rotate",)):
        with pytest.raises(KeyringError, match="second name"):
            lockstep("keys", *change)
    assert keyring_file() == (tmp_path / "theirs.json").read_bytes() == before
