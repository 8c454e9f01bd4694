"""`lockstep search`: trials side by side, each an experiment beside the workspace, and nothing lost by a kill."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from flows._study import PLACE
from tests.flows.conftest import latest_run, lockstep, repro, start_lockstep, wait_for, write
from tests.flows.test_experiments import dvc, git, snapshot
from tests.flows.test_kills import living_in

#: A training of no time, whose figures follow from its parameters.
TRAIN = """
import argparse
import json
import os
import time
from pathlib import Path

import yaml

from lockstep.files import write_atomic
from lockstep.progress import track
from tasks._stage import command


def main(argv=None):
    parser = argparse.ArgumentParser()
    for name in ("rows", "validation", "model", "report"):
        parser.add_argument(f"--{name}")
    args = parser.parse_args(argv)
    params = yaml.safe_load(Path("params.yaml").read_text())["train"]
    figure = 0.9 - abs(params["rate"] - 0.5) - (0.05 if params["hidden"] == [8] else 0.0)
    with track("epochs", 9) as advance:
        for epoch in range(9):
            while "WAIT" in os.environ and epoch == 1 and not Path(os.environ["WAIT"]).exists():
                time.sleep(0.05)
            advance(figure=figure * (epoch + 1) / 9)
    write_atomic(Path(args.model), json.dumps(params).encode())
    write_atomic(Path(args.report), json.dumps({"best_val_average_precision": figure}).encode())
    with open(os.environ["RUNS"], "a") as runs:
        runs.write(json.dumps(params) + "\\n")


if __name__ == "__main__":
    command(main)
"""
GRAPH = """
stages:
  split:
    cmd: echo split >> $RUNS; sort raw/people.csv > rows.sealed; head -1 rows.sealed > validation.sealed
    deps: [raw/people.csv]
    params: [split.seed]
    outs: [rows.sealed, validation.sealed]
  train:
    cmd: >-
      python -m tasks.train --rows rows.sealed --validation validation.sealed --model model.sealed
      --report reports/train.json
    deps: [rows.sealed, validation.sealed, tasks/train.py]
    params: [train]
    outs: [model.sealed]
    metrics:
      - reports/train.json:
          cache: false
  deploy:
    cmd: echo deploy >> $RUNS; cp model.sealed deployed.sealed
    deps: [model.sealed]
    outs: [deployed.sealed]
"""
PARAMS = """
train:
  rate: 0.1   # of learning
  hidden: [8]
split:
  seed: 1
search:
  trials: 5
  seed: 3
  space:
    train.rate: {low: 0.0, high: 1.0}
    train.hidden: {choices: [[8], [8, 8]]}
"""


@pytest.fixture
def root(repository: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A project that never ran, with a change since the last commit."""
    monkeypatch.setenv("RUNS", str(tmp_path / "runs"))
    made: Path = repository(
        **{
            "raw/people.csv": "b\na\n",
            "dvc.yaml": GRAPH,
            "params.yaml": PARAMS,
            "tasks/train.py": TRAIN,
            ".gitignore": "/.lockstep/\n__pycache__\n*.csv\n*.sealed\n",
        }
    )
    git(made, "add", "-A")
    git(made, "commit", "-qm", "Start")
    write(made, {"raw/people.csv": "c\nb\na\n"})
    return made


def runs(root: Path) -> list[str]:
    return (root.parent / "runs").read_text().splitlines()


def experiments(root: Path) -> dict[str, Any]:
    """Parameters of section train, and the metric, of each experiment by its name."""
    shown = json.loads(dvc(root, "exp", "show", "--json"))
    found = {}
    for row in (row for rev in shown for row in rev["experiments"] or []):
        data = row["revs"][0]["data"]
        metric = data["metrics"]["reports/train.json"]["data"]["best_val_average_precision"]
        found[row["name"]] = (data["params"]["params.yaml"]["data"]["train"], metric)
    return found


def search(root: Path, *arguments: str) -> tuple[str, str]:
    output, errors = (process := start_lockstep(root, "search", *arguments)).communicate(timeout=300)
    assert process.returncode == 0, errors
    return output, errors


def task_states(server: str) -> dict[str, str]:
    """Name of the state of each task run of the latest flow run."""
    body = {"flow_runs": {"id": {"any_": [latest_run(server)["id"]]}}}

    def ended() -> Any:
        found = httpx.post(f"{server}/task_runs/filter", json=body).json()
        return all(run["state"]["type"] not in ("PENDING", "RUNNING") for run in found) and found

    return {run["name"]: run["state"]["name"] for run in wait_for(ended)}


@pytest.mark.slow
def test_a_search_and_its_best(root: Path, server: str) -> None:
    output, errors = search(root, "--jobs", "2")
    assert errors == ""
    # The stages before `train` ran once, in the workspace; `train` and `deploy` did not.
    assert runs(root).count("split") == 1
    assert not (root / "model.sealed").exists()
    assert "deploy" not in runs(root)
    found = experiments(root)
    states = task_states(server)
    assert states.pop("split") == "Completed"
    assert set(states) == {f"trial {number}" for number in range(5)}
    assert len(found) == sum(state == "Completed" for state in states.values()) >= 2
    assert set(states.values()) == {"Completed", "Pruned"}
    [(_, first)] = [item for item in found.items() if item[0].endswith("-00")]
    assert first == ({"rate": 0.1, "hidden": [8]}, pytest.approx(0.45))
    best = max(found, key=lambda name: found[name][1])
    assert f"`lockstep apply {best}`" in output
    assert f"{found[best][1]:.4f} on the validation rows" in output
    assert len(ElementTree.parse(root / PLACE / "history.svg").getroot()) > 5
    assert not list((root / PLACE).glob("tree-*"))
    assert git(root, "worktree", "list").count("\n") == 1
    artifacts = httpx.post(f"{server}/artifacts/filter", json={"sort": "CREATED_DESC", "limit": 20}).json()
    assert {"search", "search-history"} <= {artifact["key"] for artifact in artifacts}

    # More trials go on from these; the workspace stays as it is.
    write(root, {"params.yaml": PARAMS.replace("trials: 5", "trials: 6")})
    before = snapshot(root)
    output, _ = search(root)
    assert "Going on with the search that has 5 of 6 trials." in output
    assert snapshot(root) == before
    assert set(task_states(server)) == {"split", "trial 5"}

    applied = lockstep(root, "apply", best)
    assert (applied.returncode, applied.stderr) == (0, "")
    assert json.loads((root / "model.sealed").read_text()) == found[best][0]
    assert set(json.loads(dvc(root, "status", "--json"))) == {"deploy"}


@pytest.mark.faults
def test_a_kill_and_a_stop_lose_no_trial(
    root: Path, server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert repro(root, "split").returncode == 0
    write(root, {"params.yaml": PARAMS.replace("trials: 5", "trials: 2")})
    monkeypatch.setenv("WAIT", str(tmp_path / "go"))
    killed = start_lockstep(root, "search", "--jobs", "2")
    wait_for(lambda: trainings(root) == 2)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    wait_for(lambda: not living_in(root))

    stopped = start_lockstep(root, "search")
    wait_for(lambda: trainings(root))
    run = latest_run(server)
    body = {"state": {"type": "CANCELLING"}}
    httpx.post(f"{server}/flow_runs/{run['id']}/set_state", json=body).raise_for_status()
    output, errors = stopped.communicate(timeout=60)
    assert stopped.returncode == 130, output + errors
    wait_for(lambda: not living_in(root))

    assert not [line for line in runs(root) if line != "split"]
    (tmp_path / "go").touch()
    output, _ = search(root)
    # The killed trials' values, among them the workspace's own.
    assert "with train.rate=0.1, train.hidden=[8]" in output
    assert 1 <= len(experiments(root)) <= 2
    assert sorted(task_states(server)) == ["split", "trial 3", "trial 4"]
    assert not list((root / PLACE).glob("tree-*"))


def trainings(root: Path) -> int:
    """How many trials train: a supervisor and a stage process each."""
    return sum("_supervise" in command for command in living_in(root / PLACE))


def test_what_cannot_be_searched_starts_nothing(root: Path, server: str) -> None:
    write(root, {"params.yaml": PARAMS.replace("train.rate", "split.seed")})
    done = lockstep(root, "search")
    assert done.returncode == 1
    assert "split.seed, which changes the validation rows (stage split)" in done.stderr
    assert not (root.parent / "runs").exists()
