"""What holds for every stage of dvc.yaml, whatever it does."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from lockstep.errors import LockstepError
from tasks._params import Params
from tests._doors import files
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


@pytest.fixture(params=STAGES)
def audited(request: pytest.FixtureRequest, repro_project: Path) -> Any:
    """A stage as `dvc repro` started it: in a process of its own with another hash seed, under audit."""
    notes = repro_project.parent / "notes" / f"{request.param}.json"
    return request.param, stages(repro_project)[request.param], repro_project, json.loads(notes.read_text())


def test_a_stage_reads_and_writes_what_it_declares(audited: Any) -> None:
    name, stage, project, notes = audited
    # The bundle's card, which is no output, quotes what DVC recorded.
    deps = {*stage["deps"], "params.yaml", *(["dvc.lock"] if name == "deploy" else [])}
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
        if not p.startswith(SCRATCH)
        and "__pycache__" not in p
        and not p.endswith(".tmp")
        and not (project / p).is_dir()
    }
    assert written - set(outputs(stage)) == set()


def test_only_declared_files_appear(repro_project: Path) -> None:
    appeared = {*files(repro_project)} - {*json.loads((repro_project.parent / "before.json").read_text())}
    declared = {out for stage in stages(repro_project).values() for out in outputs(stage)}
    assert {path for path in appeared if not path.startswith((*SCRATCH, "remote/"))} == {
        *declared,
        "dvc.lock",
    }


def test_modules_in_use_are_dependencies(audited: Any) -> None:
    name, stage, _, notes = audited
    loaded = {m for m in notes["modules"] if m.split(".")[0] in ("tasks", "lockstep")}
    declared = {d.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".") for d in stage["deps"]}
    assert loaded - declared == set(), name


def test_heavy_libraries_are_imported_only_where_used(audited: Any) -> None:
    name, _, _, notes = audited
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


def test_run_leaves_its_inputs_alone(audited: Any) -> None:
    _, _, _, notes = audited
    assert any(comparable for comparable, _ in notes["arguments"])
    assert all(unchanged for _, unchanged in notes["arguments"])


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


@pytest.mark.parametrize("gate", ["demographic_parity_difference", "equalized_odds_difference"])
def test_a_missing_threshold_is_named(
    gate: str, small_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    shutil.copytree(small_project, project)
    document = yaml.safe_load((project / "params.yaml").read_text())
    del document["evaluate"]["gates"][gate]["race"]
    (project / "params.yaml").write_text(yaml.safe_dump(document))
    message = _fails("evaluate", project, monkeypatch)
    assert f"evaluate.gates.{gate} has no threshold for the sensitive features ['race']" in message
