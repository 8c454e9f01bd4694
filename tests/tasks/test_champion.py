"""`deploy` compares the candidate with the champion on the same rows, and a candidate that falls behind is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from flows._card import write_card
from flows._champion import comparison
from flows._recorded import read_evaluation
from flows.commands._outcome import outcome
from flows.commands.approve import approve
from lockstep.bundle.contents import MODEL
from lockstep.bundle.manifest import Manifest
from lockstep.bundle.registry import Registry
from lockstep.data.columns import audit
from lockstep.data.tables import raw_columns
from lockstep.errors import NotPromoted, ParameterError, RegistryError, ReportAltered, SealError
from lockstep.evaluation.champion_gates import FIGURES, judge_against
from tasks._champion import COMPARISON
from tasks.deploy import main
from tests.lockstep.bundle.candidate import POSITIVE, bundle, other_bundle, published
from tests.tasks._evaluated import answered, deploy_arguments, evaluated, evaluated_workspace, held_out_rows
from tests.tasks.test_deploy import a_failure, an_evaluation

GATES = [f"champion:{figure}" for figure in FIGURES]
RNG = np.random.default_rng(5)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An evaluated workspace beside a registry that serves another model, as the current directory."""
    monkeypatch.chdir(tmp_path)
    evaluated_workspace()
    published(Path("registry"), other_bundle())
    return tmp_path


def _served() -> Manifest:
    return Registry(Path("registry"), "income").load_champion().manifest


def _labels() -> Any:
    return np.array(held_out_rows()["income"].to_pylist()) == POSITIVE


def _noise() -> Any:
    """Answers of a model that has learned nothing."""
    return RNG.random(len(_labels()))


def test_a_candidate_that_leads_is_promoted_with_its_comparison(project: Path) -> None:
    probability = np.clip(0.6 * _labels() + 0.4 * _noise(), 0.0, 1.0)
    answered(probability=probability)
    main(deploy_arguments())
    manifest = _served()
    assert manifest.version == "2"
    assert manifest.override is None
    found = manifest.comparison
    assert found is not None
    assert (found["champion"], found["version"]) == (other_bundle().manifest.candidate, "1")
    rows = raw_columns(held_out_rows(), ["age", "state", "gain", "sector"])
    champion = other_bundle().scorer().probability(rows)
    for gate, (figure, own) in zip(
        found["gates"],
        {
            "roc_auc": roc_auc_score,
            "average_precision": average_precision_score,
            "brier": brier_score_loss,
        }.items(),
        strict=True,
    ):
        of_both = {"candidate": own(_labels(), probability), "champion": own(_labels(), champion)}
        assert found["figures"][figure] == pytest.approx(of_both)
        lead = (of_both["champion"] - of_both["candidate"]) * FIGURES[figure]
        assert (gate["gate"], gate["verdict"], gate["direction"]) == (f"champion:{figure}", "pass", "at most")
        assert gate["figure"] == pytest.approx(lead)
        low, high = gate["interval"]
        assert low < lead < high < 0.0
        assert gate["n_rows"] == len(_labels())
    assert Manifest.from_json(manifest.to_json(), "manifest.json").comparison == found
    # The report is an output: what hangs on this clone's registry has no place in it.
    assert "comparison" not in json.loads(Path("reports/deploy.json").read_bytes())
    page = Path("registry/income/2/model_card.html").read_text()
    assert "Gates against the champion, on the test rows" in page
    assert "compared with the champion of that time (version 1)" in page


def test_a_candidate_that_falls_behind_is_refused_unless_a_person_approves(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("dvc.yaml").write_text("stages: {}\n")
    answered(probability=_noise())
    with pytest.raises(NotPromoted, match=r"its verdict is 'fail'") as refused:
        main(deploy_arguments())
    assert refused.value.exit_code == 1
    for gate in GATES:
        assert f"{gate}: fail; " in str(refused.value)
    assert "By how much the champion, which this model would replace, is ahead" in str(refused.value)
    assert _served().version == "1"
    assert not Path("reports/deploy.json").exists()
    told, steps = outcome(project, read_evaluation(project))
    assert told[0] == "Verdict: fail"
    assert any(line.startswith("  champion:roc_auc: fail") for line in told)
    assert any("deploy.champion in params.yaml" in step for step in steps)
    approve("The champion knew a column that we may not use.", ["champion, ROC AUC", GATES[1]])
    assert "Not approved yet: champion:brier." in capsys.readouterr().out
    with pytest.raises(NotPromoted, match=r"champion:brier: fail") as refused:
        main(deploy_arguments())
    assert "champion:roc_auc" not in str(refused.value)
    approve("The same.", [])
    main(deploy_arguments())
    override = _served().override
    assert override is not None
    assert [approval["gate"] for approval in override] == GATES
    assert json.loads(Path("reports/deploy.json").read_bytes())["override"] is None
    for page in (Path("registry/income/2/model_card.html"), write_card(project)):
        approved = page.read_text().partition("<caption>Approved in spite of its verdict</caption>")[2]
        for gate in ("champion, ROC AUC", "champion, Brier score"):
            assert f'<th scope="row">{gate}</th>' in approved


def test_an_approval_holds_for_the_figure_that_was_approved(project: Path) -> None:
    Path("dvc.yaml").write_text("stages: {}\n")
    answered(probability=_noise())
    with pytest.raises(NotPromoted):
        main(deploy_arguments())
    approve("A pilot.", [])
    answered(probability=_noise())
    with pytest.raises(NotPromoted, match="champion:roc_auc: fail"):
        main(deploy_arguments())
    # What a refused stage leaves is the report on an earlier candidate.
    override = json.loads(Path("approvals.json").read_bytes())
    Path("reports/deploy.json").write_text(json.dumps({"override": override}) + "\n")
    assert "Approved in spite" not in write_card(project).read_text()


def test_a_failed_gate_of_the_evaluation_is_named_beside_those(project: Path) -> None:
    answered(probability=_noise())
    evaluated(a_failure("fail", 0.31))
    with pytest.raises(NotPromoted, match=r"(?s)sex: fail.*champion:roc_auc: fail"):
        main(deploy_arguments())


def test_the_champion_deployed_again_keeps_what_it_was_promoted_with(project: Path) -> None:
    main(deploy_arguments())
    before = _served()
    assert before.comparison
    # Whatever became of the rows: the champion is not compared with itself.
    answered(probability=_noise())
    main(deploy_arguments())
    assert _served() == before
    assert json.loads(COMPARISON.read_bytes()) == before.comparison


def test_models_that_replace_each_other_do_not_pile_up(project: Path) -> None:
    main(deploy_arguments())
    registry = Registry(Path("registry"), "income")
    for champion in ("1", "2", "1"):
        pointer = {"version": champion, "candidate": registry.load_champion().manifest.candidate}
        if champion == "1":
            pointer["candidate"] = other_bundle().manifest.candidate
        Path("registry/income/champion.json").write_text(json.dumps(pointer))
        main(deploy_arguments())
        assert (registry.champion(), registry.versions()) == ("2", ["1", "2"])


def test_without_a_champion_there_is_nothing_to_compare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    evaluated_workspace()
    main(deploy_arguments())
    assert _served().comparison is None
    assert "Gates against the champion" not in Path("registry/income/1/model_card.html").read_text()


def _drop(column: str) -> None:
    answered(held_out_rows().drop_columns([column]), _noise())


def _text() -> None:
    test = held_out_rows()
    answered(test.set_column(0, "age", pa.array(["old"] * len(test))), _noise())


def _damage(path: str) -> None:
    Path(path).write_bytes(b"rotten")


def _publish(**facts: Any) -> None:
    served = other_bundle()
    published(Path("registry"), replace(served, manifest=replace(served.manifest, **facts)))


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (lambda: _drop("gain"), r"The champion names \['gain'\], which the table lacks"),
        (_text, "Column 'age' holds text; the champion needs numbers"),
        (lambda: _damage(f"registry/income/1/{MODEL}"), f"registry/income/1/{MODEL} is missing, or not"),
        (lambda: _damage("registry/income/1/manifest.json"), "manifest.json is damaged"),
        (lambda: _damage("registry/income/champion.json"), "champion.json is damaged"),
        (lambda: _publish(target="churned"), "It predicts 'churned' in 2 classes"),
        (lambda: _publish(positive="yes"), "It predicts 'income' in 2 classes, or others than the candidate"),
    ],
)
def test_a_champion_without_answers_leaves_no_evidence(
    project: Path, fault: Callable[[], None], why: str
) -> None:
    Path("dvc.yaml").write_text("stages: {}\n")
    fault()
    with pytest.raises(NotPromoted, match=why) as refused:
        main(deploy_arguments())
    assert "its verdict is 'insufficient evidence'" in str(refused.value)
    assert "let the candidate replace it all the same. `lockstep approve" in str(refused.value)
    for gate in GATES:
        assert f"{gate}: insufficient evidence; no figure" in str(refused.value)
    told, steps = outcome(project, read_evaluation(project))
    assert any("The champion has no answers to the test rows" in line for line in told)
    assert not any("bring more rows" in step for step in steps)
    approve("The source has changed.", [])
    main(deploy_arguments())
    comparison = _served().comparison
    assert comparison is not None
    assert comparison["figures"] is None
    assert _served().candidate == bundle().manifest.candidate


def test_a_column_that_travels_along_is_enough_for_the_champion(project: Path) -> None:
    test = held_out_rows()
    probability = bundle().scorer().probability(raw_columns(test, ["age", "state", "gain", "sector"]))
    answered(
        test.rename_columns([audit("gain") if n == "gain" else n for n in test.column_names]), probability
    )
    main(deploy_arguments())
    comparison = _served().comparison
    assert comparison is not None
    assert comparison["not_compared"] is None


def test_predictions_of_other_rows_are_refused(project: Path) -> None:
    turned = held_out_rows().take(pa.array(range(len(_labels()))[::-1]))
    predicted = Path("reports/predictions.parquet.sealed")
    answered(turned, _noise())
    kept = predicted.read_bytes()
    answered()
    predicted.write_bytes(kept)
    with pytest.raises(NotPromoted, match="predictions are about other rows"):
        main(deploy_arguments())


def test_predictions_that_dvc_did_not_record_are_refused(project: Path) -> None:
    outs = [{"path": "reports/predictions.parquet.sealed", "md5": "0" * 32}]
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"evaluate": {"outs": outs}}}))
    with pytest.raises(ReportAltered):
        main(deploy_arguments())


def test_sealed_rows_that_are_damaged_are_an_error(project: Path) -> None:
    _damage("reports/predictions.parquet.sealed")
    with pytest.raises(SealError, match="predictions"):
        main(deploy_arguments())
    assert _served().version == "1"


@pytest.mark.parametrize("champion", [{}, {"roc_auc": 0.01, "brier": 0.01}, {"roc_auc": -0.1}, None])
def test_a_missing_threshold_is_an_error(project: Path, champion: Any) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["deploy"]["champion"] = champion
    Path("params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(ParameterError, match=r"deploy\.champion"):
        main(deploy_arguments())


def test_figures_of_several_classes_are_means_over_them() -> None:
    codes = np.repeat([0, 1, 2], [300, 60, 40])
    signal = np.eye(3)[codes]
    better, worse = (np.exp(s * signal + RNG.normal(size=signal.shape)) for s in (2.0, 0.5))
    better, worse = (odds / odds.sum(axis=1, keepdims=True) for odds in (better, worse))
    gates, figures = judge_against(codes, worse, better, dict.fromkeys(FIGURES, 0.01), 100, 1)
    assert [gate.verdict for gate in gates] == ["fail"] * 3
    assert figures["roc_auc"]["champion"] == pytest.approx(roc_auc_score(codes, better, multi_class="ovr"))
    assert figures["average_precision"]["candidate"] == pytest.approx(average_precision_score(signal, worse))


def test_as_a_program_it_ends_with_1_and_without_a_traceback(project: Path) -> None:
    answered(probability=_noise())
    finished = subprocess.run(
        [sys.executable, "-m", "tasks.deploy", *deploy_arguments()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1
    assert "champion:average_precision: fail" in finished.stderr
    assert "Traceback" not in finished.stderr


def test_the_first_evaluation_after_a_refusal_is_not_mixed_with_an_old_comparison(project: Path) -> None:
    answered(probability=_noise())
    with pytest.raises(NotPromoted):
        main(deploy_arguments())
    evaluated(an_evaluation(candidate="00" * 32))
    told, _ = outcome(project, read_evaluation(project))
    assert not any("champion:" in line for line in told)


def test_a_comparison_with_another_champion_is_not_shown(project: Path) -> None:
    Path("dvc.yaml").write_text("stages: {}\n")
    answered(probability=_noise())
    with pytest.raises(NotPromoted):
        main(deploy_arguments())
    candidate = bundle().manifest.candidate
    assert comparison(project, candidate) is not None
    served = other_bundle()
    published(Path("registry"), replace(served, manifest=replace(served.manifest, candidate="11" * 32)))
    assert comparison(project, candidate) is None
    told, steps = outcome(project, read_evaluation(project))
    assert told[0] == "Verdict: pass"
    assert any("compares it with the champion" in step for step in steps)


def test_the_champions_own_comparison_is_shown_whatever_was_refused_since(project: Path) -> None:
    main(deploy_arguments())
    promoted = _served()
    COMPARISON.write_text('{"candidate": "another", "champion": null}\n')
    assert comparison(project, promoted.candidate) == promoted.comparison


def test_nothing_deployed_is_still_an_error_for_whoever_asks(tmp_path: Path) -> None:
    registry = Registry(tmp_path, "income")
    assert registry.pointer() is None
    assert registry.champion_candidate() is None
    with pytest.raises(RegistryError, match="is deployed in the registry"):
        registry.champion()
