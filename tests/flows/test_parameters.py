"""A wrong parameter ends a run before it began: no stage loses the outputs that it had."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.flows.conftest import ROOT, lockstep, repro, task_runs, write

GRAPH = """
stages:
  first:
    cmd: cp source.txt first.txt
    deps: [source.txt]
    outs: [first.txt]
  sample:
    cmd: python -m tasks.sample --table sample.txt
    deps: [first.txt]
    params: [sample.share]
    outs: [sample.txt]
  last:
    cmd: cp sample.txt last.txt
    deps: [sample.txt]
    outs: [last.txt]
"""
PARAMS = "sample: {share: 0.5}\nnested: {a: {b: 1, c: 2}}\n"


@pytest.fixture
def root(repository: Any) -> Path:
    """A project whose stage `sample` is Lockstep's own, recorded and not run."""
    made: Path = repository(**{"source.txt": "a\n", "dvc.yaml": GRAPH, "params.yaml": PARAMS})
    shutil.copy(ROOT / "tasks" / "sample.py", made / "tasks" / "sample.py")
    shutil.copy(ROOT / "tasks" / "_params.py", made / "tasks" / "_params.py")
    write(made, {"first.txt": "a\n", "sample.txt": "made\n", "last.txt": "made\n"})
    subprocess.run([sys.executable, "-m", "dvc", "commit", "-f", "-q"], cwd=made, check=True)
    return made


def spoil(root: Path, params: str) -> dict[str, bytes]:
    """Write other parameters, and have the first stage changed too; gives what must stay as it is."""
    write(root, {"params.yaml": params, "source.txt": "b\n"})
    names = ("first.txt", "sample.txt", "last.txt", "dvc.lock")
    return {name: (root / name).read_bytes() for name in names}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            "sample: {share: -1}\n",
            "sample.share: Input should be greater than 0. Received: -1. Correct it in params.yaml.",
        ),
        (
            "sample: {shrae: 0.5}\n",
            "sample.share is missing: add it to params.yaml.\n"
            "sample.shrae is not a parameter of Lockstep: remove it or correct its name.",
        ),
        # No stage declares it, so that DVC sees no change in it; the stage would see it.
        (
            "sample: {share: 0.5, shrae: 0.5}\n",
            "sample.shrae is not a parameter of Lockstep: remove it or correct its name.",
        ),
    ],
)
def test_a_wrong_parameter_costs_nothing(root: Path, flow: Any, params: str, message: str) -> None:
    before = spoil(root, params)
    state = flow(root)
    assert (state.is_failed(), state.message) == (True, message)
    assert {name: (root / name).read_bytes() for name in before} == before


def test_all_stages_are_judged_when_all_are_about_to_run(root: Path, flow: Any) -> None:
    write(root, {"params.yaml": "sample: {share: 0.5, shrae: 0.5}\n"})
    assert "sample.shrae is not a parameter" in flow(root, force=True).message
    assert (root / "first.txt").exists()


def test_what_is_not_about_to_run_is_not_judged(root: Path, flow: Any, server: str) -> None:
    write(root, {"params.yaml": "sample: {share: 0.5, shrae: 0.5}\n", "last.txt": "altered\n"})
    state = flow(root)
    assert state.is_completed(), state.message
    assert task_runs(server, state)["sample"] == ("Cached", "unchanged")
    assert flow(root).is_completed()


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["run"], ["run", "--force"], ["run", "--set", "sample.share=-1"]],
)
def test_the_command_line_says_so_before_a_server_starts(root: Path, arguments: list[str]) -> None:
    if "--set" in arguments:
        subprocess.run(["git", "add", "-A"], cwd=root, check=True)
        subprocess.run(["git", "commit", "-qm", "first"], cwd=root, check=True)
    else:
        spoil(root, "sample: {share: -1}\n")
    done = lockstep(root, *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: sample.share: Input should be greater than 0. Received: -1. Correct it in "
    )
    assert "server" not in done.stdout


def test_a_name_is_for_an_experiment(root: Path) -> None:
    done = lockstep(root, "run", "--name", "shorter")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--set train.epochs=5" in done.stderr


@pytest.mark.parametrize(("name", "line"), [("params.yaml", 2), ("dvc.yaml", 16)])
def test_what_is_no_yaml_is_named_with_its_line(root: Path, name: str, line: int) -> None:
    write(root, {name: (PARAMS if name == "params.yaml" else GRAPH).split("nested")[0] + "a: ["})
    done = lockstep(root, "status")
    assert (done.returncode, done.stderr) == (2, f"error: {name} is no YAML, line {line}. Correct it.\n")


def test_another_version_of_a_stage_judges_for_itself(root: Path, flow: Any) -> None:
    """Where another clone is installed than the one that runs, its bounds are not this one's."""
    path = root / "tasks" / "sample.py"
    path.write_text(path.read_text().replace(", gt=0, le=1", ""))
    write(root, {"params.yaml": "sample: {share: 1.5}\n"})
    assert flow(root).message == "2 of 3 stages ran."


def test_status_names_old_and_new_values(root: Path) -> None:
    graph = yaml.safe_load(GRAPH)
    graph["stages"]["sample"] |= {"cmd": "cp first.txt sample.txt", "params": ["sample.share", "nested"]}
    write(root, {"dvc.yaml": yaml.safe_dump(graph, sort_keys=False)})
    assert repro(root).returncode == 0
    write(root, {"params.yaml": "sample: {share: high}\nnested: {a: {b: 2, d: 3}}\n"})
    assert lockstep(root, "status").stdout.splitlines()[0] == (
        'sample: params.yaml: sample.share 0.5 -> "high", nested.a.b 1 -> 2, nested.a.c deleted, nested.a.d new'
    )
