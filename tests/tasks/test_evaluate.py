"""`evaluate` judges what ships, on rows that no sampler made."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lockstep.data import columns
from lockstep.errors import DataError, ParameterError
from tasks import evaluate, resample
from tasks._decision import Gates, RobustnessGates
from tasks._robustness import Strengths
from tests.conftest import ANY_LOSS
from tests.tasks._debias import debiased
from tests.tasks.test_runs import DEBIAS, parts

LENIENT = {"sex": 1.0}
EVALUATE = evaluate.EvaluateParams(
    project="p",
    target="y",
    positive="yes",
    sensitive=["sex"],
    min_category_rows=5,
    mitigation="drop",
    protect=None,
    constraint="demographic_parity",
    threshold_for="f1",
    parity_reserve=None,
    false_negative_cost=5.0,
    bootstrap_samples=100,
    min_group_rows=50,
    min_group_positives=5,
    group_correction="none",
    explained_rows=200,
    shap_rows=4,
    attacked_rows=1000,
    attack_false_positive_rate=0.1,
    robustness=Strengths(**{kind: [] for kind in ANY_LOSS}),
    seed=1,
    gates=Gates(
        roc_auc=0.8,
        average_precision=0.3,
        brier=0.2,
        demographic_parity_difference=LENIENT,
        equalized_odds_difference=LENIENT,
        explanation_agreement=0.9,
        membership_inference=None,
        membership_inference_auc=None,
        robustness=RobustnessGates(**ANY_LOSS),
    ),
)


class Oracle:
    """Scores by the label itself, turned around for some rows."""

    class encoder:  # noqa: N801
        inputs = ()
        classes = ()
        encode = None

    def __init__(self, tables: dict[str, pa.Table]) -> None:
        self.tables = list(tables.values())

    def probability(self, raw: dict[str, object]) -> np.ndarray:
        labels = np.array(self.tables.pop(0)["y"].to_pylist()) == "yes"
        return np.where(labels, 0.9, 0.1)


def judged(update: dict[str, object]) -> evaluate.Evaluation:
    tables = debiased(parts(), {}, DEBIAS).parts
    scored = {"test": tables["test"], "validation": tables["validation"]}
    return evaluate.run(
        Oracle(scored),
        tables["validation"],
        tables["test"],
        {"sex": ["f", "m"]},
        EVALUATE.model_copy(update=update),
    )


def test_evaluate_gives_metrics_verdict_and_predictions() -> None:
    result = judged({})
    assert result.report["verdict"] == "pass"
    assert result.metrics["roc_auc"] == 1.0
    assert result.report["labels"] == ["no", "yes"]
    assert result.predictions.column_names == ["label", "probability", "decision"]
    assert {gate["gate"] for gate in result.report["gates"]} >= {"equalized_odds_difference:sex", "brier"}


def test_the_threshold_keeps_to_the_parity_gates_on_validation() -> None:
    gates = EVALUATE.gates.model_copy(update={"demographic_parity_difference": {"sex": 0.001}})
    update = {"gates": gates, "min_group_rows": 10}
    free, limited = judged(update), judged({**update, "parity_reserve": 0.5})
    assert free.report["threshold"]["parity_limits"] == {}
    assert limited.report["threshold"]["parity_limits"] == {"sex": 0.0005}
    few = judged({**update, "parity_reserve": 0.5, "min_group_rows": 10_000}).report["threshold"]
    assert few == free.report["threshold"]
    figures = limited.report["threshold"]["validation"]
    assert figures["without_limits"] == free.report["threshold"]["validation"]["chosen"]
    assert figures["chosen"]["f1"] < figures["without_limits"]["f1"]
    assert limited.metrics["threshold"] != free.metrics["threshold"]


def test_groups_too_small_are_no_evidence() -> None:
    result = judged({"min_group_rows": 10_000})
    assert result.report["verdict"] == "insufficient evidence"
    (gate,) = [g for g in result.report["gates"] if g["gate"] == "equalized_odds_difference:sex"]
    assert gate["left_out"] == ("f", "m")
    assert gate["figure"] is None


def test_sensitive_features_are_audited_together_and_judged_where_a_threshold_stands() -> None:
    tables = {}
    for name, table in debiased(parts(), {}, DEBIAS).parts.items():
        shift = pa.array(np.where(np.arange(len(table)) % 2 == 0, "day", "night"))
        tables[name] = table.append_column(columns.audit("shift"), shift)
    both = {"sex": 1.0, "shift": 1.0}
    gates = EVALUATE.gates.model_copy(
        update={
            "demographic_parity_difference": {**both, "sex & shift": 0.0},
            "equalized_odds_difference": both,
        }
    )
    params = EVALUATE.model_copy(
        update={"sensitive": ["sex", "shift"], "gates": gates, "min_group_rows": 5, "min_group_positives": 1}
    )
    scorer = Oracle({"test": tables["test"], "validation": tables["validation"]})
    public = {"sex": ["f", "m"], "shift": ["day", "night"]}
    report = evaluate.run(scorer, tables["validation"], tables["test"], public, params).report
    together = report["fairness"]["sex & shift"]
    assert set(together["groups"]) == {"f & day", "f & night", "m & day", "m & night"}
    assert together["evidence"]["equalized_odds_difference"]["figure"] == 0.0
    verdicts = {gate["gate"]: gate["verdict"] for gate in report["gates"]}
    assert verdicts["demographic_parity_difference:sex & shift"] == "fail"
    assert "equalized_odds_difference:sex & shift" not in verdicts


def test_a_sensitive_feature_without_threshold_is_an_error() -> None:
    gates = EVALUATE.gates.model_copy(update={"equalized_odds_difference": {}})
    with pytest.raises(ParameterError, match=r"equalized_odds_difference has no threshold .*\['sex'\]"):
        judged({"gates": gates})


def test_resample_marks_what_it_made_and_evaluate_would_refuse_it() -> None:
    train = debiased(parts(), {}, DEBIAS).parts["train"]
    params = resample.ResampleParams(
        project="p", target="y", positive="yes", method="over", ratio=0.5, seed=1
    )
    made = resample.run(train, params)
    assert made.report["after"]["n_made"] == sum(made.train[columns.MADE].to_pylist()) > 0
    assert (
        made.train.filter(pa.compute.invert(made.train[columns.MADE])).drop_columns(
            [columns.MADE, columns.WEIGHT]
        )
        == train.combine_chunks()
    )
    with pytest.raises(DataError, match="made by a sampler"):
        evaluate.run(None, made.train, made.train, {}, EVALUATE)
