"""What holds for every stage of dvc.yaml, whatever it does."""

from __future__ import annotations

import importlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lockstep.errors import LockstepError
from tasks._params import Params
from tests.conftest import ROOT, arguments, outputs, stages

STAGES = list(stages(ROOT))
# Beside its outputs a stage may write scratch, and `deploy` alone has a side effect.
SCRATCH = (".lockstep/", "registry/")
HEAVY = {"tensorflow", "keras", "great_expectations", "fairlearn", "imblearn", "sklearn", "prefect", "dvc"}
ALLOWED = {
    "validate": {"great_expectations"},
    "debias": {"fairlearn", "sklearn"},
    "resample": {"imblearn", "sklearn"},
    "train": {"tensorflow", "keras", "sklearn"},
    "compress": {"sklearn"},
    "evaluate": {"fairlearn", "sklearn", "tensorflow", "keras"},
}
READ_BY_THE_FLOW = {"remote", "search.trials", "search.seed", "search.space"}


@pytest.fixture(scope="module", params=STAGES)
def rerun(
    request: pytest.FixtureRequest, small_project: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """A stage run once more in a copy, in a process of its own with another hash seed, under audit."""
    name = request.param
    project = tmp_path_factory.mktemp(name) / "project"
    shutil.copytree(small_project, project)
    stage = stages(project)[name]
    for out in outputs(stage):
        (project / out).unlink()
    shutil.rmtree(project / "registry", ignore_errors=True)
    notes = project.parent / "notes.json"
    finished = subprocess.run(
        [sys.executable, ROOT / "tests/contracts/_audited.py", notes, f"tasks.{name}", *arguments(stage)],
        cwd=project,
        env={**os.environ, "PYTHONHASHSEED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return name, stage, project, json.loads(notes.read_text())


def test_two_runs_give_the_same_bytes(rerun: Any, small_project: Path) -> None:
    _, stage, project, _ = rerun
    for out in outputs(stage):
        assert (project / out).read_bytes() == (small_project / out).read_bytes(), out


def test_a_stage_reads_and_writes_what_it_declares(rerun: Any) -> None:
    _, stage, project, notes = rerun
    deps = {*stage["deps"], "params.yaml"}
    read = {
        p
        for p in notes["read"]
        if (project / p).is_file() and not p.startswith(SCRATCH) and not p.endswith(".pyc")
    }
    assert read - deps - set(outputs(stage)) == set()
    written = {
        p
        for p in notes["write"]
        # A nameless file, which ends with the process, is opened by its directory.
        if not p.startswith(SCRATCH) and not p.endswith(".tmp") and not (project / p).is_dir()
    }
    assert written - set(outputs(stage)) == set()


def test_only_declared_files_appear(rerun: Any, small_project: Path) -> None:
    _, _, project, _ = rerun

    def files(root: Path) -> set[str]:
        found = (str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
        return {p for p in found if not p.startswith(SCRATCH) and "__pycache__" not in p}

    assert files(project) == files(small_project)


def test_modules_in_use_are_dependencies(rerun: Any) -> None:
    name, stage, _, notes = rerun
    loaded = {m for m in notes["modules"] if m.split(".")[0] in ("tasks", "lockstep")}
    declared = {d.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".") for d in stage["deps"]}
    assert loaded - declared == set(), name


def test_heavy_libraries_are_imported_only_where_used(rerun: Any) -> None:
    name, _, _, notes = rerun
    assert HEAVY & set(notes["modules"]) <= ALLOWED.get(name, set())


@pytest.mark.parametrize("name", STAGES)
def test_declared_parameters_are_those_read(name: str) -> None:
    module = importlib.import_module(f"tasks.{name}")
    models = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Params) and value.__module__ == module.__name__
    ]
    read = set().union(*(model.keys() for model in models))
    assert set(stages(ROOT)[name].get("params", [])) == read


@pytest.mark.parametrize("name", STAGES)
def test_every_parameter_stands_in_params_yaml(name: str) -> None:
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    for key in stages(ROOT)[name].get("params", []):
        section = document
        for part in key.split("."):
            assert part in section, key
            section = section[part]


def test_no_parameter_is_left_unread() -> None:
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    read = {key for stage in stages(ROOT).values() for key in stage.get("params", [])}
    standing = {
        f"{section}.{key}" if isinstance(values, dict) else section
        for section, values in document.items()
        for key in (values if isinstance(values, dict) else [None])
    }
    assert standing == read | READ_BY_THE_FLOW


def _frozen(value: object) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception:  # an interpreter's handle cannot be compared, and holds no table
        return b""


@pytest.mark.parametrize("name", STAGES)
def test_run_leaves_its_inputs_alone(
    name: str, small_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    shutil.copytree(small_project, project)
    module = importlib.import_module(f"tasks.{name}")
    run, compared = module.run, []

    def watched(*args: object, **kwargs: object) -> object:
        before = [_frozen(a) for a in args]
        answer = run(*args, **kwargs)
        compared.extend(zip(before, [_frozen(a) for a in args], strict=True))
        return answer

    monkeypatch.setattr(module, "run", watched)
    monkeypatch.chdir(project)
    module.main(arguments(stages(project)[name]))
    assert any(before for before, _ in compared)
    assert all(before == after for before, after in compared)


def _inputs(stage: dict[str, Any]) -> list[str]:
    return [d for d in stage.get("deps", []) if not d.endswith(".py")]


CASES = [(name, dep) for name in STAGES for dep in _inputs(stages(ROOT)[name])]


def _fails(name: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Message of the stage's failure, having made sure that it left the workspace as it was."""
    monkeypatch.chdir(project)
    before = {p: p.read_bytes() for p in project.rglob("*") if p.is_file()}
    with pytest.raises(LockstepError) as caught:
        importlib.import_module(f"tasks.{name}").main(arguments(stages(project)[name]))
    after = {p: p.read_bytes() for p in project.rglob("*") if p.is_file()}
    unlocked = {
        p: c
        for p, c in after.items()
        if p in before or not str(p.relative_to(project)).startswith("registry/")
    }
    assert unlocked == before
    return str(caught.value)


@pytest.mark.parametrize(("name", "dep"), CASES)
def test_a_missing_input_is_named(
    name: str, dep: str, small_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    shutil.copytree(small_project, project)
    (project / dep).unlink()
    assert dep in _fails(name, project, monkeypatch)


@pytest.mark.parametrize(("name", "dep"), [case for case in CASES if case[1] != "lockstep.key-id"])
def test_a_truncated_input_is_named(
    name: str, dep: str, small_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    shutil.copytree(small_project, project)
    content = (project / dep).read_bytes()
    (project / dep).write_bytes(content[: len(content) // 2])
    message = _fails(name, project, monkeypatch)
    assert dep in message or (name == "encrypt" and "validate" in message)


@pytest.mark.parametrize("name", [n for n in STAGES if stages(ROOT)[n].get("params")])
def test_a_missing_parameter_is_named(
    name: str, small_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    shutil.copytree(small_project, project)
    key = stages(project)[name]["params"][-1]
    document = yaml.safe_load((project / "params.yaml").read_text())
    *sections, last = key.split(".")
    section = document
    for part in sections:
        section = section[part]
    del section[last]
    (project / "params.yaml").write_text(yaml.safe_dump(document))
    message = _fails(name, project, monkeypatch)
    assert f"{key} is missing" in message
