"""`lockstep fsck`: names what is wrong, sets it aside, and brings it back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flows._cache import md5_of
from flows._locks import RUN, only_one
from lockstep.errors import LockstepError, SealDamaged
from lockstep.sealing.keyring import Keyring, save_keyring
from lockstep.sealing.vault import Vault

from .conftest import SECRET, assert_up_to_date, cached, recorded, run_dvc, spoil, vault

Lockstep = Callable[..., str]


def refused(lockstep: Lockstep, *arguments: str) -> str:
    """What `lockstep fsck` printed before it ended with an error."""
    with pytest.raises(LockstepError) as caught:
        lockstep("fsck", *arguments)
    assert caught.value.exit_code == 1
    return str(caught.value.args)


def quarantine(project: Path) -> list[str]:
    home = project / ".lockstep" / "quarantine"
    return sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file())


def assert_whole(project: Path, lockstep: Lockstep) -> None:
    assert "0 to see to" in lockstep("fsck")
    assert_up_to_date(project)


def test_an_unharmed_project(lockstep: Lockstep) -> None:
    assert "16 files and bundles checked, 0 to see to" in lockstep("fsck")


def test_a_rotten_object_is_restored_from_the_workspace(project: Path, lockstep: Lockstep) -> None:
    rotten = cached(project, "data/train.sealed")
    spoil(rotten)
    assert "lockstep fsck --repair" in refused(lockstep)
    assert not quarantine(project)
    printed = lockstep("fsck", "--repair")
    assert "restored from the workspace" in printed
    assert "damaged" in printed
    assert quarantine(project) == [f".dvc/cache/files/md5/{rotten.parent.name}/{rotten.name}"]
    assert_whole(project, lockstep)


@pytest.mark.parametrize("link", [pytest.param(os.link, marks=pytest.mark.slow), os.symlink, shutil.copyfile])
def test_a_rotten_object_and_its_copy_are_fetched_again(
    project: Path, lockstep: Lockstep, link: Callable[..., object]
) -> None:
    spoil(cached(project, "data/train.sealed"))
    (project / "data/train.sealed").unlink()
    link(cached(project, "data/train.sealed"), project / "data/train.sealed")
    printed = lockstep("fsck", "--repair")
    assert "fetched again from the DVC remote" in printed
    assert "restored from the cache" in printed
    assert_whole(project, lockstep)


def test_what_no_remote_has_is_made_anew(project: Path, lockstep: Lockstep) -> None:
    run_dvc(project, "remote", "remove", "store")
    for path in (cached(project, "data/train.sealed"), project / "data/train.sealed"):
        spoil(path)
    assert refused(lockstep, "--repair").count("stage split will make it anew") == 2
    assert len(quarantine(project)) == 2
    run_dvc(project, "repro", "-q")
    assert (project / "ran.txt").read_text().splitlines() == ["encrypt", "split", "split"]
    assert_whole(project, lockstep)


def test_a_remote_that_is_rotten_too(project: Path, lockstep: Lockstep) -> None:
    md5 = recorded(project, "data/train.sealed")
    for path in (
        cached(project, "data/train.sealed"),
        project / "data/train.sealed",
        project.parent / "remote" / "files" / "md5" / md5[:2] / md5[2:],
    ):
        spoil(path)
    refused(lockstep, "--repair")
    assert not cached(project, "data/train.sealed").exists()


def test_files_in_each_others_place(project: Path, lockstep: Lockstep) -> None:
    shutil.copyfile(project / "data/train.sealed", project / "data/test.sealed")
    assert "another file's place" in refused(lockstep)
    lockstep("fsck", "--repair")
    assert_whole(project, lockstep)
    cached(project, "data/test.sealed").chmod(0o644)
    shutil.copyfile(project / "data/train.sealed", cached(project, "data/test.sealed"))
    assert "another file's place" in refused(lockstep)
    lockstep("fsck", "--repair")
    assert_whole(project, lockstep)


def test_a_file_in_anothers_place_whose_own_the_cache_lacks(project: Path, lockstep: Lockstep) -> None:
    cached(project, "data/train.sealed").unlink()
    shutil.copyfile(project / "data/test.sealed", project / "data/train.sealed")
    assert "not the file that dvc.lock names" in refused(lockstep)
    lockstep("fsck", "--repair")
    assert quarantine(project) == ["data/train.sealed"]
    assert_whole(project, lockstep)


def test_a_rotten_plain_file_of_the_workspace(project: Path, lockstep: Lockstep) -> None:
    spoil(project / "data/shards/count.txt", 0)
    assert "not the file that dvc.lock names" in refused(lockstep)
    lockstep("fsck", "--repair")
    assert_whole(project, lockstep)


@pytest.mark.parametrize("cache", [True, False])
def test_what_a_failed_stage_left_is_no_damage(project: Path, lockstep: Lockstep, cache: bool) -> None:
    if not cache:
        cached(project, "data/train.sealed").unlink()
    (project / "source.txt").write_bytes(SECRET * 2)
    stages = project / "stages.py"
    stages.write_text(stages.read_text().replace("    for number in", "    sys.exit(1)\n    for number in"))
    with pytest.raises(AssertionError):
        run_dvc(project, "repro", "-q")
    assert md5_of(project / "data/train.sealed") != recorded(project, "data/train.sealed")
    assert "0 to see to" in lockstep("fsck")


def test_what_nobody_has_is_named(project: Path, lockstep: Lockstep) -> None:
    cached(project, "data/train.sealed").unlink()
    shard = project / "data/shards/1.sealed"
    cache = project / ".dvc/cache/files/md5"
    md5 = md5_of(shard)
    (cache / md5[:2] / md5[2:]).unlink()
    for path in (project / "data/train.sealed", shard, project / "data/all.sealed"):
        path.unlink()
    printed = refused(lockstep)
    assert "2 to see to" in printed
    for path in ("data/train.sealed", "data/shards/1.sealed"):
        assert f"{path}" in printed
    assert printed.count("`dvc pull`, or `lockstep run` to make it anew") == 2
    assert "quarantine" not in refused(lockstep, "--repair")
    run_dvc(project, "pull", "-q")
    assert_whole(project, lockstep)


def test_a_fresh_clone_is_no_damage(project: Path, lockstep: Lockstep) -> None:
    shutil.rmtree(project / ".dvc" / "cache")
    shutil.rmtree(project / "data")
    printed = lockstep("fsck")
    assert "0 to see to" in printed
    assert "4 outputs that dvc.lock names are not here yet: `dvc pull`, or `lockstep run`." in printed


@pytest.mark.parametrize("at", [8, 9, 12, 15, 16, 23])
def test_damage_of_the_header_is_not_taken_for_another_key_or_version(
    project: Path, lockstep: Lockstep, at: int
) -> None:
    spoil(cached(project, "data/train.sealed"), at)
    spoil(project / "data/test.sealed", at)
    printed = refused(lockstep)
    assert printed.count("damaged: ") == 2
    assert "keys import" not in printed
    assert "upgrade" not in printed
    lockstep("fsck", "--repair")
    assert len(quarantine(project)) == 2
    assert_whole(project, lockstep)


def test_a_rotten_object_that_dvc_lock_does_not_name(project: Path, lockstep: Lockstep) -> None:
    old = cached(project, "data/train.sealed")
    (project / "source.txt").write_bytes(SECRET * 2)
    run_dvc(project, "repro", "-q")
    spoil(old, 16)
    assert "damaged" in refused(lockstep)


def test_another_projects_file(project: Path, lockstep: Lockstep) -> None:
    other = Vault("other", vault()._keyring, vault()._key)
    other.write("data/train.sealed", b"x", role="train", schema="table/1")
    assert "'other'" in refused(lockstep)
    lockstep("fsck", "--repair")
    assert_whole(project, lockstep)


def test_a_plain_file_in_a_sealed_ones_place(project: Path, lockstep: Lockstep) -> None:
    (project / "data/train.sealed").write_text("in clear")
    assert "not sealed" in refused(lockstep)
    lockstep("fsck", "--repair")
    assert quarantine(project) == ["data/train.sealed"]
    assert_whole(project, lockstep)


@pytest.mark.parametrize("path", ["data/shards/1.sealed", "data/shards"])
def test_a_directory(project: Path, lockstep: Lockstep, path: str) -> None:
    spoil(cached(project, path) if path == "data/shards" else project / path)
    refused(lockstep)
    lockstep("fsck", "--repair")
    assert_whole(project, lockstep)


def test_a_plain_object(project: Path, lockstep: Lockstep) -> None:
    plain = [
        path
        for path in (project / ".dvc/cache/files/md5").rglob("*")
        if path.is_file() and path.read_bytes() == b"3"
    ]
    spoil(plain[0], 0)
    refused(lockstep)
    lockstep("fsck", "--repair")
    assert_whole(project, lockstep)


def test_an_older_version_whose_key_is_gone_is_no_damage(project: Path, lockstep: Lockstep) -> None:
    lost = Keyring.generate("lost")
    old = Vault("demo", lost, lost.keys[lost.active])
    kept = (project / "source.txt").read_bytes()
    old.write("old.sealed", b"x", role="train", schema="table/1")
    run_dvc(project, "add", "-q", "old.sealed")
    assert "its key is missing" in refused(lockstep)
    (project / "old.sealed").unlink()
    (project / "old.sealed.dvc").unlink()
    printed = lockstep("fsck")
    assert lost.active in printed
    assert "an older version" in printed
    assert (project / "source.txt").read_bytes() == kept


def test_a_current_file_whose_key_is_missing(project: Path, lockstep: Lockstep) -> None:
    path = Path(os.environ["LOCKSTEP_KEYRING"])
    path.unlink()
    save_keyring(Keyring.generate("another"), path)
    printed = refused(lockstep, "--repair")
    assert "lockstep keys import" in printed
    assert "quarantine" not in printed
    assert not quarantine(project)


def test_a_rotten_dependency_names_the_file_and_the_remedy(project: Path) -> None:
    spoil(project / "data/train.sealed")
    with pytest.raises(SealDamaged, match=r"data/train\.sealed.*lockstep fsck --repair"):
        vault().read("data/train.sealed", role="train", schema="table/1")


def test_it_does_not_disturb_a_run(project: Path, lockstep: Lockstep) -> None:
    with only_one(project / RUN, ""), pytest.raises(LockstepError, match=r"\(process \d+\)"):
        lockstep("fsck")


def test_what_a_killed_run_left_stays_for_the_next(project: Path, lockstep: Lockstep) -> None:
    (project / RUN).parent.mkdir(exist_ok=True)
    (project / RUN).write_text("123 a-flow-run\n")
    lockstep("fsck")
    lockstep("keys", "rotate")
    with only_one(project / RUN, "") as lock:
        assert lock.left == "a-flow-run"
