"""What `lockstep results` and `lockstep report` say of figures that are older than the workspace."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from flows import _hooks
from flows.commands._stale import notice
from tests.flows.conftest import lockstep, repro, write

GRAPH = """
stages:
  train:
    cmd: cp source.txt model.txt
    deps: [source.txt, shared.txt]
    params: [train.epochs]
    outs: [model.txt]
  evaluate:
    cmd: cp model.txt reports/evaluation.json
    deps: [model.txt, shared.txt]
    params: [train.epochs]
    outs: [{reports/evaluation.json: {cache: false}}]
  deploy:
    cmd: cp reports/evaluation.json deployed.txt
    deps: [reports/evaluation.json, approvals.json]
    outs: [deployed.txt]
"""


@pytest.fixture
def root(repository: Any) -> Path:
    """A project that was evaluated."""
    made: Path = repository()
    write(
        made,
        {
            "source.txt": "a\n",
            "shared.txt": "a\n",
            "approvals.json": "[]\n",
            "reports/.gitignore": "",
            "params.yaml": "train: {epochs: 14}\n",
            "dvc.yaml": GRAPH,
        },
    )
    assert repro(made).returncode == 0
    return made


def test_what_changed_is_named_once(root: Path) -> None:
    # What is only deployed otherwise has the same figures; what was not pulled has not changed.
    write(root, {"approvals.json": "[{}]\n"})
    (root / "source.txt").unlink()
    assert notice(root) is None
    write(root, {"params.yaml": "train: {epochs: 5}\n"})
    told = "Changed since: params.yaml: train.epochs 14 -> 5. `lockstep run` brings this up to date."
    parsed = _hooks._parsed.cache_info().misses
    assert notice(root) == told
    # Two stages read it.
    assert _hooks._parsed.cache_info().misses == parsed + 1
    (root / "dvc.lock").rename(root / "kept")
    assert notice(root) is None
    (root / "kept").rename(root / "dvc.lock")
    shutil.rmtree(root / ".git")
    assert notice(root) is None


def test_of_many_changes_some_are_named(root: Path) -> None:
    write(root, {"source.txt": "b\n", "shared.txt": "b\n", "params.yaml": "train: {epochs: 5}\n"})
    write(root, {"dvc.yaml": GRAPH.replace("cp model.txt", "cp -f model.txt")})
    told = notice(root)
    assert told is not None
    assert told.startswith(
        "Changed since: source.txt changed; shared.txt changed; params.yaml: train.epochs 14 -> 5; "
    )
    assert told.endswith("; 1 more. `lockstep run` brings this up to date.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["results"], "nothing was evaluated yet. Run `lockstep run` first"),
        (["report", "--compare", " "], "--compare is empty"),
    ],
)
def test_what_cannot_be_shown_is_said(repository: Any, arguments: list[str], message: str) -> None:
    done = lockstep(repository(**{"dvc.yaml": GRAPH}), *arguments)
    assert (done.returncode, message in done.stderr) == (2, True), done.stderr
