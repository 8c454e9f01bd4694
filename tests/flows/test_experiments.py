"""A run with other parameters is a DVC experiment beside the workspace, and `lockstep apply` brings it in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from flows._overrides import override
from flows._worktree import PLACE
from lockstep.errors import ParameterError
from tests.flows.conftest import latest_run, lockstep, repro, start_lockstep, wait_for, write

#: Like the default pipeline: a source that Git ignores, sealed outputs in DVC's cache, reports in Git's reach.
GRAPH = """
stages:
  clean:
    cmd: echo clean >> log.txt; sort raw/people.csv > clean.sealed
    deps: [raw/people.csv]
    outs: [clean.sealed]
  train:
    cmd: >-
      echo train >> log.txt; cat clean.sealed other.txt > model.sealed;
      grep epochs params.yaml >> model.sealed; mkdir -p reports;
      echo "{\\"score\\": $(grep -o '[0-9.]*' params.yaml | head -1)}" > reports/metrics.json
    deps: [clean.sealed, other.txt]
    params: [train.epochs]
    outs: [model.sealed]
    metrics:
      - reports/metrics.json:
          cache: false
  deploy:
    cmd: echo deploy >> log.txt; cp model.sealed {registry}; cp reports/metrics.json reports/deploy.json
    deps: [model.sealed, reports/metrics.json]
    outs:
      - reports/deploy.json:
          cache: false
          persist: true
"""
PARAMS = "train:\n  epochs: 3   # of all rows\nunread: 1\n"


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@b.c")
    return subprocess.run(
        ["git", *identity, *arguments], cwd=root, capture_output=True, text=True, check=True
    ).stdout


def dvc(root: Path, *arguments: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=root, capture_output=True, text=True, check=True
    ).stdout


def snapshot(root: Path) -> tuple[str, dict[str, bytes]]:
    """What Git says of the workspace, and the bytes of all that lies in it beside scratch."""
    files = {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and not {".git", ".dvc", ".lockstep", "__pycache__"} & set(path.relative_to(root).parts)
    }
    return git(root, "status", "--porcelain", "--untracked-files=all"), files


def ran(root: Path) -> list[str]:
    log = root / "log.txt"
    return log.read_text().split() if log.exists() else []


@pytest.fixture
def root(repository: Any, tmp_path: Path) -> Path:
    """A project whose pipeline ran once, with changes since the last commit."""
    made: Path = repository(
        **{
            "raw/people.csv": "b\na\n",
            "other.txt": "committed\n",
            "dvc.yaml": GRAPH.replace("{registry}", str(tmp_path / "registry")),
            "params.yaml": PARAMS,
            ".gitignore": "/.lockstep/\n__pycache__\n*.csv\n*.sealed\nlog.txt\n",
        }
    )
    git(made, "add", "-A")
    git(made, "commit", "-qm", "Start")
    write(made, {"other.txt": "changed since\n", "notes.txt": "no part of the pipeline\n"})
    assert repro(made).returncode == 0
    (made / "log.txt").unlink()
    return made


def test_an_experiment_leaves_the_workspace_as_it_is(root: Path, server: str, tmp_path: Path) -> None:
    before = snapshot(root)
    deployed = (tmp_path / "registry").read_bytes()
    done = lockstep(root, "run", "--set", "train.epochs=5", "--name", "longer")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert snapshot(root) == before
    assert (tmp_path / "registry").read_bytes() == deployed
    assert not (root / PLACE).exists()
    assert git(root, "worktree", "list").count("\n") == 1
    lines = [line for line in done.stdout.splitlines() if ": " in line]
    assert [line for line in lines if line.startswith(("clean", "train", "deploy"))][:1] == [
        "clean: unchanged"
    ]
    assert any(line.startswith("train: ran") for line in lines)
    assert "1 of 2 stages ran." in done.stdout
    assert any({"reports/metrics.json:score", "3", "5"} <= set(line.replace("│", " ").split())
               or {"score", "3", "5"} <= set(line.replace("│", " ").split())
               for line in done.stdout.splitlines())  # fmt: skip
    assert "lockstep apply longer" in done.stdout
    shown = json.loads(dvc(root, "exp", "show", "--json"))
    [experiment] = [row for rev in shown for row in rev["experiments"] or []]
    assert experiment["name"] == "longer"
    data = experiment["revs"][0]["data"]
    assert data["params"]["params.yaml"]["data"]["train"] == {"epochs": 5}
    assert data["metrics"]["reports/metrics.json"]["data"] == {"score": 5}


@pytest.mark.slow
def test_apply_leaves_the_deployment_to_the_next_run(root: Path, server: str, tmp_path: Path) -> None:
    assert lockstep(root, "run", "--set", "train.epochs=5", "--name", "longer").returncode == 0
    none = lockstep(root, "apply")
    assert (none.returncode, none.stderr) == (2, "error: Name an experiment. There are: longer.\n")
    wrong = lockstep(root, "apply", "shorter")
    assert (wrong.returncode, "There are: longer." in wrong.stderr) == (2, True)
    write(root, {".lockstep/measured/train.json": "{}", ".lockstep/measured/clean.json": "{}"})
    applied = lockstep(root, "apply", "longer")
    assert (applied.returncode, applied.stderr) == (0, "")
    assert (root / "params.yaml").read_text() == PARAMS.replace("3", "5")
    assert (root / "model.sealed").read_text() == "a\nb\nchanged since\n  epochs: 5   # of all rows\n"
    assert json.loads((root / "reports/metrics.json").read_text()) == {"score": 5}
    assert json.loads((root / "reports/deploy.json").read_text()) == {"score": 3}
    assert (root / "notes.txt").read_text() == "no part of the pipeline\n"
    assert sorted(path.name for path in (root / ".lockstep/measured").iterdir()) == ["clean.json"]
    status = lockstep(root, "status").stdout
    assert {line.split(":")[0] for line in status.splitlines()} == {"deploy"}
    assert set(json.loads(dvc(root, "status", "--json"))) == {"deploy"}
    assert lockstep(root, "run").returncode == 0
    assert ran(root) == ["deploy"]
    assert "epochs: 5" in (tmp_path / "registry").read_text()


def test_apply_does_not_overwrite_later_changes(root: Path, server: str) -> None:
    assert lockstep(root, "run", "--set", "train.epochs=5", "--name", "longer").returncode == 0
    write(root, {"other.txt": "changed again\n"})
    before = snapshot(root)
    applied = lockstep(root, "apply", "longer")
    assert applied.returncode == 2
    assert "other.txt changed since" in applied.stderr
    assert snapshot(root) == before


def test_where_git_does_not_know_who_commits(
    root: Path, server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    finished = lockstep(root, "run", "--set", "train.epochs=17")
    assert (finished.returncode, "Traceback" in finished.stderr) == (1, False)
    assert "`git config user.name NAME`" in finished.stderr
    assert not (root / PLACE).exists()


def test_what_an_experiment_cannot_do(root: Path, flow: Any) -> None:
    def message(**parameters: Any) -> str:
        state = flow(root, **parameters)
        assert state.is_failed()
        assert not (root / PLACE).exists()
        return str(state.message)

    assert "train.epohcs is not a parameter of this project. Did you mean train.epochs?" in message(
        overrides=["train.epohcs=5"]
    )
    assert "An override is KEY=VALUE" in message(overrides=["train.epochs"])
    assert "An experiment does not deploy" in message(overrides=["train.epochs=5"], stages=["deploy"])
    assert "A name is for an experiment" in message(name="alone")
    assert "change nothing" in message(overrides=["unread=2"])
    assert "change nothing" in message(overrides=["train.epochs=3"])
    assert flow(root, overrides=["train.epochs=5"], name="taken").is_completed()
    assert "There is an experiment 'taken' already" in message(overrides=["train.epochs=6"], name="taken")
    assert ran(root) == []


def test_a_failed_experiment_leaves_nothing(root: Path, flow: Any) -> None:
    (root / "other.txt").unlink()
    before = snapshot(root)
    state = flow(root, overrides=["train.epochs=5"])
    assert state.is_failed()
    assert "other.txt" in state.message
    assert snapshot(root) == before
    assert not (root / PLACE).exists()
    assert json.loads(dvc(root, "exp", "show", "--json"))[-1]["experiments"] is None


def test_without_a_commit(repository: Any, flow: Any) -> None:
    root = repository(**{"dvc.yaml": "stages: {}\n", "params.yaml": PARAMS})
    state = flow(root, overrides=["train.epochs=5"])
    assert state.is_failed()
    assert "dvc.yaml is in no commit yet" in state.message
    assert "git commit" in state.message


@pytest.mark.slow
def test_a_killed_experiment_is_cleaned_up_by_the_next(root: Path, server: str) -> None:
    write(
        root,
        {
            "dvc.yaml": (root / "dvc.yaml")
            .read_text()
            .replace("mkdir -p", "touch started; sleep 60; mkdir -p")
        },
    )
    run = start_lockstep(root, "run", "--set", "train.epochs=5")
    wait_for(lambda: list((root / PLACE).rglob("started")))
    run.kill()
    run.communicate()
    assert (root / PLACE).exists()
    assert git(root, "status", "--porcelain", "--", ".lockstep") == ""
    write(root, {"dvc.yaml": (root / "dvc.yaml").read_text().replace("sleep 60", "sleep 0")})
    done = lockstep(root, "run", "--set", "train.epochs=6")
    assert done.returncode == 0, done.stderr
    assert not (root / PLACE).exists()
    assert git(root, "worktree", "list").count("\n") == 1


def test_a_source_outside_of_the_project(root: Path, flow: Any) -> None:
    """As `lockstep init ../loans.csv` declares it."""
    (root.parent / "loans.csv").write_text("c\n")
    graph = (root / "dvc.yaml").read_text().replace("raw/people.csv", "../loans.csv")
    write(root, {"dvc.yaml": graph})
    assert repro(root).returncode == 0
    (root / "log.txt").unlink()
    state = flow(root, overrides=["train.epochs=5"])
    assert state.message.split(": ")[1].startswith("1 of 2 stages ran."), state.message


def test_the_form_of_the_deployment(server: str) -> None:
    from flows.lifecycle import lifecycle

    fields = lifecycle.parameters.model_dump()["properties"]
    assert {name: field["type"] for name, field in fields.items()} == {
        "stages": "array", "force": "boolean", "jobs": "integer", "overrides": "array", "name": "string",
        "allow_missing": "boolean",
    }  # fmt: skip
    assert all(field["description"] for field in fields.values())
    assert "Annotated" not in json.dumps(fields)


READERS = {
    "train": (["python -m tasks.train --train a"], {"train.epochs", "train.dropout"}),
    "evaluate": (["python -m tasks.evaluate"], {"evaluate.gates", "data.sensitive"}),
    "mine": (["Rscript mine.R"], {"mine.depth"}),
}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["train.epochs=0"], r"train\.epochs: Input should be greater than or equal to 1\. Received: 0"),
        (["train.epochs=many"], r"train\.epochs: Input should be a valid integer.*Received: 'many'"),
        (["train.dropout=1e0"], r"train\.dropout: Input should be less than 1"),
        (["evaluate.gates.roc_auc=2"], r"evaluate\.gates\.roc_auc: Input should be less than or equal to 1"),
        (["evaluate.gates.auc=0.5"], r"evaluate\.gates\.auc is not a parameter"),
        (["train.epochs.x=1"], r"train\.epochs is a value and no section"),
        (["train=1"], r"train\.epochs"),
        (["project=other"], r"project cannot be set for one run"),
        (["remote=null"], r"remote cannot be set for one run"),
        (["mine.depht=1"], r"mine\.depht is not a parameter of this project\. Did you mean mine\.depth\?"),
        (["train.epochs=[1"], r"The value of train\.epochs is no YAML"),
    ],
)
def test_an_override_is_judged_before_anything_runs(overrides: list[str], words: str) -> None:
    from flows import _yaml
    from tests.conftest import ROOT

    document = _yaml.load(ROOT / "params.yaml")
    with pytest.raises(ParameterError, match=words):
        override(document, overrides, READERS, ROOT)


def test_an_override_is_written_as_stages_read_it(tmp_path: Path) -> None:
    from flows import _yaml
    from tests.conftest import ROOT

    document = _yaml.load(ROOT / "params.yaml")
    override(
        document,
        ["train.dropout=1e-5", "train.epochs = 5", "mine.depth=[1, 2]", "evaluate.gates.roc_auc=0.9"],
        READERS,
        ROOT,
    )
    text = _yaml.dump(document).decode()
    assert "# What somebody may tune." in text
    read = yaml.safe_load(text)
    assert (read["train"]["dropout"], read["train"]["epochs"]) == (1e-5, 5)
    assert (read["mine"], read["evaluate"]["gates"]["roc_auc"]) == ({"depth": [1, 2]}, 0.9)
    assert read["train"]["bins"] == 24


def test_overrides_that_fail_in_the_ui_run_no_stage(root: Path, flow: Any, server: str) -> None:
    state = flow(root, overrides=["train.epochs.x=1"])
    assert state.is_failed()
    run = latest_run(server)
    assert run["parameters"]["overrides"] == ["train.epochs.x=1"]
    body = {"flow_runs": {"id": {"any_": [run["id"]]}}}
    assert httpx.post(f"{server}/task_runs/filter", json=body).json() == []
