"""The default pipeline and its registry: run, rotate, nothing to do, destroy, deploy again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lockstep.bundle.registry import Registry
from lockstep.errors import KeyMissing
from lockstep.sealing.header import read_header

from .conftest import run_dvc, spoil, start


@pytest.fixture
def whole(small_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the small project, recorded by DVC as it stands, with a keyring of its own."""
    import os

    root = tmp_path / "whole"
    shutil.copytree(small_project, root)
    keyring = tmp_path / "keys" / "keyring.json"
    keyring.parent.mkdir(mode=0o700)
    shutil.copy2(os.environ["LOCKSTEP_KEYRING"], keyring)
    monkeypatch.setenv("LOCKSTEP_KEYRING", str(keyring))
    monkeypatch.chdir(root)
    run_dvc(root, "commit", "-q", "--force")
    return root


@pytest.mark.slow
def test_rotate_and_destroy(whole: Path) -> None:
    from dvc.repo import Repo

    old = (whole / "lockstep.key-id").read_text().strip()
    before = (whole / "reports" / "deploy.json").read_bytes()
    assert start(whole, "keys", "rotate").returncode == 0
    new = (whole / "lockstep.key-id").read_text().strip()
    with Repo(str(whole)) as repo:
        assert repo.status() == {}
        sealed = [out.fs_path for out in repo.index.outs if out.fs_path.endswith(".sealed")]
    assert len(sealed) > 8
    for path in sealed:
        with Path(path).open("rb") as file:
            assert read_header(file)[0].key_id == new
    assert "Nothing to do" in start(whole, "run").stdout
    checked = start(whole, "fsck")
    assert (checked.returncode, "0 to see to" in checked.stdout) == (0, True)

    registry = Registry(whole / "registry", "income")
    registry.load_champion()
    destroyed = start(whole, "keys", "destroy", old, "--yes")
    assert "income/1 (served)" in destroyed.stdout
    with pytest.raises(KeyMissing):
        registry.load_champion()
    assert start(whole, "fsck").returncode == 1
    assert start(whole, "deploy").returncode == 0
    registry.load_champion()
    assert registry.champion() == "2"
    assert (whole / "reports" / "deploy.json").read_bytes() == before
    assert start(whole, "fsck").returncode == 0

    spoil(registry.directory("2") / "model.sealed")
    broken = start(whole, "fsck", "--repair")
    assert broken.returncode == 1
    assert "lockstep deploy" in broken.stdout
