"""`lockstep approve`, and what `lockstep results` and `lockstep deploy` make of a candidate that did not pass."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from flows._recorded import read_evaluation
from flows.commands._outcome import outcome
from flows.commands.approve import approve
from flows.commands.serving import deploy
from lockstep.bundle.registry import Registry
from lockstep.errors import LockstepError, ReportAltered, UsageError
from tasks.deploy import main
from tests.conftest import ROOT
from tests.lockstep.bundle.candidate import bundle, other_bundle, published
from tests.tasks._evaluated import deploy_arguments, evaluated, evaluated_workspace
from tests.tasks.test_deploy import a_failure, an_approval, an_evaluation

FAILED = "equalized_odds_difference:sex"
EVALUATION = Path("reports/evaluation.json")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace whose candidate failed one gate, as the current directory."""
    monkeypatch.chdir(tmp_path)
    evaluated_workspace()
    evaluated(a_failure("fail", 0.31))
    Path("dvc.yaml").write_bytes((ROOT / "dvc.yaml").read_bytes())
    return tmp_path


def _approve(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flows.cli", "approve", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def _approvals() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(Path("approvals.json").read_bytes())
    return found


def _record(*paths: str) -> None:
    """A dvc.lock that has these files as they are."""
    outs = [{"path": path, "md5": hashlib.md5(Path(path).read_bytes()).hexdigest()} for path in paths]
    Path("dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {"evaluate": {"outs": outs}}}))


def test_approving_by_command_deploys(project: Path) -> None:
    done = _approve("--reason", "A pilot of 30 people.")
    assert f"{FAILED} (fail) is approved by A Tester <tester@example.org>." in done.stdout, done.stderr
    [written] = _approvals()
    assert written == {**an_approval(), "by": "A Tester <tester@example.org>", "at": written["at"]}
    _record(str(EVALUATION))
    deploy()
    assert Registry(Path("registry"), "income").load_champion().manifest.override
    assert "A pilot of 30 people." in Path("registry/income/1/model_card.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reason", " "], "--reason is empty"),
        (["--reason", "x", "roc_auc"], f"There are: {FAILED}"),
    ],
)
def test_an_approval_that_makes_no_sense_is_refused(
    project: Path, arguments: list[str], message: str
) -> None:
    done = _approve(*arguments)
    assert (done.returncode, message in done.stderr) == (2, True)
    assert _approvals() == []


@pytest.mark.parametrize("name", [FAILED, "equalized odds difference, sex"])
def test_a_gate_is_approved_once_by_either_of_its_names(
    project: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    approve("A pilot.", [name, FAILED])
    before = Path("approvals.json").read_bytes()
    assert [approval["gate"] for approval in _approvals()] == [FAILED]
    approve("Once more.", [name])
    assert Path("approvals.json").read_bytes() == before
    assert f"{FAILED} (fail) is approved already, by A Tester" in capsys.readouterr().out
    evaluated(a_failure("fail", 0.4))
    approve("It became worse.", [])
    assert [approval["figure"] for approval in _approvals()] == [0.31, 0.4]


def test_what_is_not_approved_yet_is_named(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gates = [{**gate, "verdict": "fail", "figure": 0.31} for gate in a_failure("fail", 0.31)["gates"]]
    evaluated(an_evaluation(verdict="fail", gates=gates))
    approve("A pilot.", [FAILED])
    assert "Not approved yet: roc_auc.\n" in capsys.readouterr().out


@pytest.mark.parametrize("changed", [str(EVALUATION), "reports/split.json"])
def test_a_report_that_its_stage_did_not_write_is_not_deployed(project: Path, changed: str) -> None:
    evaluated(an_evaluation())
    _record(str(EVALUATION), "reports/split.json")
    Path(changed).write_bytes(Path(changed).read_bytes().replace(b"}", b" }", 1))
    with pytest.raises(ReportAltered, match=rf"{changed} is not what its stage wrote"):
        deploy()
    assert not Path("registry").exists()


def test_an_evaluation_that_dvc_recorded_nowhere_is_not_deployed(project: Path) -> None:
    evaluated(an_evaluation())
    _record("reports/split.json")
    with pytest.raises(ReportAltered, match=r"dvc\.lock has none of it"):
        deploy()
    Path("dvc.lock").write_text("stages: [")
    with pytest.raises(LockstepError, match=r"dvc\.lock cannot be read"):
        deploy()
    assert not Path("registry").exists()


def test_a_verdict_that_was_changed_by_hand_is_neither_shown_nor_approved(project: Path) -> None:
    evaluated({**a_failure("fail", 0.31), "verdict": "pass"})
    for read in (lambda: approve("x", []), lambda: read_evaluation(project), deploy):
        with pytest.raises(ReportAltered, match="From the gates follows: 'fail'"):
            read()
    EVALUATION.unlink()
    with pytest.raises(UsageError, match="nothing was evaluated yet"):
        approve("x", [])


def _told(project: Path) -> str:
    told, steps = outcome(project, read_evaluation(project))
    return "\n".join([*told, *steps])


def test_the_outcome_names_what_failed_what_stays_and_what_to_do(project: Path) -> None:
    failed = f"Verdict: fail\n  {FAILED}: fail; 0.3100, asked: at most 0.25 (1,200 rows)"
    what = "    How far apart the shares of positive decisions are between the two groups of sex that differ most, "
    what += "among the positive rows or among the others, whichever is more"
    assert _told(project).startswith(f"{failed}\n{what}\nIt is not deployed. No champion was found.\nimprove")
    published(Path("registry"), other_bundle())
    stays = "The champion stays: income version 1, registry/income/1"
    told = _told(project)
    assert told.startswith(f"{failed}\n{what}\nIt is not deployed. {stays}")
    assert "`lockstep approve --reason WHY`" in told
    approve("A pilot.", [])
    assert _told(project) == (
        f"{failed}; approved by A Tester <tester@example.org>\n{what}\nIt is not deployed yet. {stays}\n"
        "lockstep deploy    compares it with the champion, and makes it the champion unless it is behind"
    )
    main(deploy_arguments())
    assert "\nBundle:  registry/income/2\n. .venv/bin/activate\n" in _told(project)
    assert "lockstep init" not in _told(project)
    with Path("params.yaml").open("a") as params:
        params.write("sample: {share: 1.0}\n")
    assert "\nlockstep init TABLE" in _told(project)
    # The same model decides by another threshold now.
    evaluated({**a_failure("fail", 0.31), "metrics": {"roc_auc": 0.96, "threshold": 0.4}})
    assert "It is not deployed yet. The champion stays: income version 2" in _told(project)


def test_the_outcome_of_insufficient_evidence_says_what_to_bring(project: Path) -> None:
    assert "bring more rows" not in _told(project)
    evaluated(a_failure("insufficient evidence", None))
    assert _told(project).endswith("review split.test_share and evaluate.min_group_rows in params.yaml")


def test_the_outcome_of_a_champion_that_would_not_pass_now(project: Path) -> None:
    published(Path("registry"), bundle())
    assert "It is the champion already, and stays: income version 1" in _told(project)
