"""The commit and the libraries of a run stand beside its figures, and count only for what that run left."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tasks import _provenance
from tasks._provenance import figures_of, git_revision, records
from tasks._stage import measured


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one commit, as the current directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("reports/train.json", "dvc.lock", "params.yaml"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("first\n")
    _git("init", "-q")
    _commit()
    return tmp_path


def _git(*arguments: str) -> None:
    subprocess.run(["git", *arguments], check=True)


def _commit() -> None:
    _git("add", "-A")
    _git("commit", "-q", "--allow-empty", "-m", "x")


def _run() -> None:
    with measured("train", Path("reports/train.json")):
        Path("reports/train.json").write_text("made\n")


def test_the_commit_of_the_run_stays_that_of_the_run(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_run = git_revision()
    _run()
    _commit()
    monkeypatch.setattr(_provenance, "_versions", lambda: {"python": "9.9"})
    run = records(workspace)["train"]["run"]
    assert (run["git_revision"], run["git_revision"] != git_revision()) == (at_the_run, True)
    assert "9.9" not in run["versions"]["python"]
    assert {"python", "numpy", "keras"} <= set(run["versions"])
    assert set(figures_of(records())["train"]) >= {"seconds", "cpu_seconds"}
    assert not {"run", "made"} & set(figures_of(records())["train"])


def test_what_another_run_made_has_no_record(workspace: Path) -> None:
    _run()
    assert set(records()) == {"train"}
    Path("reports/train.json").write_text("brought back from the cache\n")
    assert records() == {}
    Path("reports/train.json").unlink()
    assert records() == {}


@pytest.mark.parametrize(
    ("changed", "uncommitted"), [("params.yaml", True), ("dvc.lock", False), ("reports/train.json", False)]
)
def test_what_stages_write_is_no_uncommitted_change(workspace: Path, changed: str, uncommitted: bool) -> None:
    Path(changed).write_text("second\n")
    _run()
    assert records()["train"]["run"]["uncommitted_changes"] is uncommitted


def test_without_a_repository_the_commit_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reports").mkdir()
    _run()
    run = records()["train"]["run"]
    assert (run["git_revision"], run["uncommitted_changes"]) == (None, None)
    assert run["versions"]
