"""`lockstep keys rotate`: another key, and no stage has to run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import _rotation
from flows._cache import Store
from flows._rotation import HOME, JOURNAL, rotate
from lockstep.errors import KeyringError, LockstepError, UsageError
from lockstep.sealing.header import read_header
from lockstep.sealing.keyring import KEY_VARIABLE, open_keyring
from lockstep.sealing.keys import to_token

from .conftest import SEALED, SECRET, assert_up_to_date, cached, contents, run_dvc, spoil, start, state, vault

Lockstep = Callable[..., str]


def key_of(path: Path) -> str:
    with path.open("rb") as file:
        return read_header(file)[0].key_id


def assert_rotated(project: Path, old: str, before: dict[str, bytes]) -> None:
    """Everything is under a new key, and nothing has to run."""
    new = (project / "lockstep.key-id").read_text().strip()
    assert new != old
    assert open_keyring("demo").active == new
    assert {key_of(project / path) for path in SEALED} == {new}
    assert contents() == before
    for path in SEALED[:3]:
        assert cached(project, path).read_bytes() == (project / path).read_bytes()
    assert_up_to_date(project)
    assert not (project / HOME).exists()


def test_no_stage_has_to_run(project: Path, lockstep: Lockstep) -> None:
    old, before = vault()._key.id, contents()
    digest, report = vault().digest(SECRET), (project / "report.json").read_bytes()
    objects = set((project / ".dvc/cache/files").rglob("*"))
    assert "no stage has to run" in lockstep("keys", "rotate")
    assert_rotated(project, old, before)
    assert (vault().digest(SECRET), (project / "report.json").read_bytes()) == (digest, report)
    assert objects < set((project / ".dvc/cache/files").rglob("*"))
    assert "Nothing to do" in start(project, "run").stdout
    assert "0 to see to" in lockstep("fsck")


def test_it_writes_what_a_run_under_the_new_key_writes(
    project: Path, lockstep: Lockstep, tmp_path: Path
) -> None:
    lockstep("keys", "rotate")
    other = tmp_path / "other"
    shutil.copytree(project, other)
    shutil.rmtree(other / ".dvc" / "cache")
    (other / "dvc.lock").unlink()
    run_dvc(other, "repro", "-q")
    assert (other / "dvc.lock").read_bytes() == (project / "dvc.lock").read_bytes()
    for path in SEALED:
        assert (other / path).read_bytes() == (project / path).read_bytes()


@pytest.mark.slow
def test_again_and_back_to_an_older_version(project: Path, lockstep: Lockstep) -> None:
    lock, key_id = (project / "dvc.lock").read_bytes(), (project / "lockstep.key-id").read_text()
    before = contents()
    lockstep("keys", "rotate")
    lockstep("keys", "rotate")
    assert len(open_keyring("demo").keys) == 3
    (project / "dvc.lock").write_bytes(lock)
    (project / "lockstep.key-id").write_text(key_id)
    run_dvc(project, "checkout", "-q")
    assert contents() == before
    assert_up_to_date(project)


@pytest.mark.parametrize("link", [pytest.param("hardlink", marks=pytest.mark.slow), "symlink"])
def test_links_into_the_cache_stay_links(project: Path, lockstep: Lockstep, link: str) -> None:
    run_dvc(project, "config", "cache.type", link)
    run_dvc(project, "checkout", "-q", "--relink")
    old, before = vault()._key.id, contents()
    assert (project / "data/all.sealed").samefile(cached(project, "data/all.sealed"))
    lockstep("keys", "rotate")
    assert_rotated(project, old, before)
    assert (project / "data/all.sealed").samefile(cached(project, "data/all.sealed"))


def test_random_salts_stay_random_and_added_files_follow(project: Path, lockstep: Lockstep) -> None:
    vault().write("added.sealed", SECRET, role="notes", schema="text/1", random_salt=True)
    run_dvc(project, "add", "-q", "added.sealed")
    lockstep("keys", "rotate")
    with Path("added.sealed").open("rb") as file:
        header = read_header(file)[0]
    assert header.random_salt
    assert header.key_id == vault()._key.id
    assert_up_to_date(project)


def test_a_stale_stage_stays_stale_and_a_missing_file_missing(project: Path, lockstep: Lockstep) -> None:
    (project / "data/train.sealed").unlink()
    (project / "source.txt").write_bytes(SECRET * 2)
    lockstep("keys", "rotate")
    assert not (project / "data/train.sealed").exists()
    run_dvc(project, "repro", "-q")
    assert vault().read("data/all.sealed", role="source", schema="table/1") == SECRET * 2
    assert {key_of(project / path) for path in SEALED} == {vault()._key.id}


@pytest.mark.slow
def test_large_files(project: Path, lockstep: Lockstep) -> None:
    (project / "source.txt").write_bytes(os.urandom(5 << 20))
    run_dvc(project, "repro", "-q")
    old, before = vault()._key.id, contents()
    lockstep("keys", "rotate")
    assert_rotated(project, old, before)


@pytest.mark.parametrize(
    ("harm", "error"),
    [
        (lambda project: spoil(project / "data/train.sealed"), UsageError),
        (lambda project: spoil(cached(project, "data/test.sealed")), UsageError),
        (lambda project: (project / "data/train.sealed").write_text("in clear"), UsageError),
        (
            lambda project: [
                (project / "data/all.sealed").unlink(),
                cached(project, "data/all.sealed").unlink(),
            ],
            UsageError,
        ),
        (lambda project: cached(project, "data/shards").unlink(), UsageError),
        (lambda project: (project / "lockstep.key-id").unlink(), KeyringError),
    ],
)
def test_what_it_refuses_it_leaves_alone(
    project: Path, lockstep: Lockstep, harm: Callable[[Path], object], error: type[LockstepError]
) -> None:
    harm(project)
    before, keyring = state(project), Path(os.environ["LOCKSTEP_KEYRING"]).read_bytes()
    with pytest.raises(error):
        lockstep("keys", "rotate")
    after = state(project)
    after.pop(".lockstep/run.lock")
    assert after == before
    assert Path(os.environ["LOCKSTEP_KEYRING"]).read_bytes() == keyring


def test_a_key_in_the_environment_is_not_rotated(
    project: Path, lockstep: Lockstep, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyring = open_keyring("demo")
    monkeypatch.setenv(KEY_VARIABLE, to_token(keyring.keys[keyring.active], keyring.digest_key))
    with pytest.raises(KeyringError, match="Unset it"):
        lockstep("keys", "rotate")


def test_a_running_stage_is_not_disturbed(project: Path) -> None:
    from dvc.repo import Repo
    from dvc.rwlock import rwlock

    written = [str(project / "data/all.sealed")]
    with Repo(str(project)) as repo, rwlock(repo.tmp_dir, repo.fs, "another", [], written, False):
        # In a process of its own: DVC takes those of one process for one owner.
        done = start(project, "keys", "rotate")
    assert (done.returncode, "data/all.sealed" in done.stderr, "Traceback" in done.stderr) == (1, True, False)
    assert not (project / HOME).exists()


def test_an_interrupted_one_is_finished_by_a_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, before = vault()._key.id, contents()

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_rotation, "_replace", fail)
    with pytest.raises(LockstepError, match="keys rotate"):
        rotate(project, "demo")
    assert (project / JOURNAL).exists()
    assert "Finished the interrupted rotation" in start(project, "run").stdout
    assert_rotated(project, old, before)
    assert len(open_keyring("demo").keys) == 2


def test_a_stage_that_ran_meanwhile_wins(
    project: Path, lockstep: Lockstep, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Store, "rewrite", fail)
        with pytest.raises(LockstepError, match="interrupted"):
            rotate(project, "demo")
    run_dvc(project, "repro", "-q")
    assert (project / "ran.txt").read_text().splitlines() == ["encrypt", "split"] * 2
    before = contents()
    assert "Finished the interrupted rotation" in lockstep("keys", "rotate")
    assert contents() == before
    assert_up_to_date(project)
