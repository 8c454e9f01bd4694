"""`lockstep report` writes the card of the workspace, and sets another run beside it."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from flows._card import COMPARISON, PAGE, write_card, write_comparison
from lockstep.errors import ReportAltered, UsageError
from lockstep.evaluation.gate_words import what_it_is
from tests.flows.conftest import LOCKSTEP


def _git(project: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=project, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture(scope="module")
def project(small_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose reports are committed, and an experiment with other figures."""
    project = tmp_path_factory.mktemp("card") / "project"
    shutil.copytree(small_project, project)
    evaluation = project / "reports" / "evaluation.json"
    kept = evaluation.read_text()
    report = json.loads(kept)
    report["metrics"]["roc_auc"] = 0.5
    evaluation.write_text(json.dumps(report) + "\n")
    params = project / "params.yaml"
    said = params.read_text()
    document = yaml.safe_load(said)
    document["card"]["intended_use"] = "What was said then"
    params.write_text(yaml.safe_dump(document))
    _git(project, "add", "-A")
    _git(project, "commit", "-qm", "Other figures")
    head = _git(project, "rev-parse", "HEAD")
    _git(project, "update-ref", f"refs/exps/{head[:2]}/{head[2:]}/shorter", head)
    evaluation.write_text(kept)
    params.write_text(said)
    return project


def test_the_command_writes_the_card(project: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if "DISPLAY" not in name}
    finished = subprocess.run(
        [*LOCKSTEP, "report"], cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert (finished.returncode, finished.stdout.strip()) == (0, str(PAGE)), finished.stderr
    page = (project / PAGE).read_text()
    assert "Verdict of all gates" in page
    assert "A demonstration on public data" in page
    gates = json.loads((project / "reports/evaluation.json").read_bytes())["gates"]
    assert [gate["gate"] for gate in gates if not what_it_is(gate) or "?" in what_it_is(gate)] == []
    document = json.loads((project / "reports/model_card.json").read_bytes())
    assert document["reports"]["evaluation"] == json.loads((project / "reports/evaluation.json").read_bytes())
    assert document["measured"]["train"]["seconds"] > 0
    assert document["lineage"]["revision_of_the_card"] == _git(project, "rev-parse", "HEAD")
    # It ran before the first commit.
    assert {run["git_revision"] for run in document["lineage"]["runs"]} == {None}
    assert _git(project, "status", "--porcelain", "--", "reports") == "M reports/evaluation.json"


@pytest.mark.parametrize("other", ["HEAD", "shorter"])
def test_another_run_beside_the_workspace(project: Path, other: str) -> None:
    write_comparison(project, other)
    page = (project / COMPARISON).read_text()
    assert f">{other}</th>" in page
    assert ">0.5</td>" in page
    # Each side has its owner's own words.
    assert ">A demonstration on public data" in page
    assert ">What was said then<" in page


def test_a_report_that_its_stage_did_not_write_is_not_shown(project: Path, tmp_path: Path) -> None:
    evaluation = project / "reports/evaluation.json"
    (tmp_path / "reports").mkdir()
    altered = json.loads(evaluation.read_bytes())
    altered["gates"][0]["figure"] = 0.1
    (tmp_path / "reports/evaluation.json").write_text(json.dumps(altered) + "\n")
    with pytest.raises(ReportAltered, match=r"roc_auc: pass; 0\.1000"):
        write_card(tmp_path)
    shutil.copy(evaluation, tmp_path / "reports/evaluation.json")
    (tmp_path / "dvc.lock").write_text(
        "stages: {evaluate: {outs: [{path: reports/evaluation.json, md5: of another}]}}"
    )
    with pytest.raises(ReportAltered, match=r"dvc\.lock has of another"):
        write_card(tmp_path)


@pytest.mark.parametrize(
    ("other", "message"),
    [("nobody", "neither an experiment nor"), ("HEAD~1", "neither an experiment nor"), ("--all", "neither")],
)
def test_an_unknown_run_is_named(project: Path, other: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        write_comparison(project, other)


def test_without_an_evaluation_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Run `lockstep run` first"):
        write_card(tmp_path)


def test_a_row_is_explained_in_the_terminal_alone(project: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in project.rglob("*") if path.is_file()}

    def explain(row: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*LOCKSTEP, "explain", row], cwd=project, capture_output=True, text=True, check=False
        )

    done = explain("3")
    said = re.search(
        r"Test row 3: probability of '50000\+\.' (0\.\d+), decided as (not )?'50000\+\.'", done.stdout
    )
    assert said, done.stderr
    threshold = json.loads((project / "reports/evaluation.json").read_bytes())["metrics"]["threshold"]
    assert f": the threshold is {threshold:.4f}\n" in done.stdout
    assert (float(said[1]) < threshold) is bool(said[2])
    figures = [float(figure) for figure in re.findall(r"([+-]\d+\.\d{3}) │$", done.stdout, re.MULTILINE)]
    assert sum(figures[:-1]) == pytest.approx(figures[-1], abs=0.02)
    assert 1 / (1 + math.exp(-figures[-1])) == pytest.approx(float(said[1]), abs=0.001)
    assert re.search(r"weeks_worked_in_year +│ \d+ ", done.stdout)
    assert "The base is where every row starts: the mean log-odds of 16 validation rows" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before
    beyond = explain("100000")
    assert (beyond.returncode, "numbered from 0 to" in beyond.stderr) == (2, True)
