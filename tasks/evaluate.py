"""Stage `evaluate`: judges the model that ships, on test rows that nothing was tuned on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from lockstep.bundle.digest import content_digest
from lockstep.bundle.scorer import MODEL_SCHEMA, Scorer
from lockstep.data import columns
from lockstep.data.encoding import ENCODER_SCHEMA, Encoder
from lockstep.data.expectations import parse_suite, public_categories
from lockstep.data.labels import binary_labels, flag, refuse_made_rows
from lockstep.data.tables import SCHEMA, from_parquet, raw_columns, read_bytes, require, to_parquet
from lockstep.errors import ParameterError
from lockstep.evaluation.bootstrap import difference_intervals, ranking_intervals
from lockstep.evaluation.gates import Direction, Gate, judge, no_evidence, verdict
from lockstep.evaluation.metrics import curves, metrics
from lockstep.evaluation.thresholds import ParityLimit, Purpose, choose_threshold
from lockstep.fairness.groups import audit, differences, group_names
from lockstep.sealing.vault import open_vault
from tasks._params import Params, Section, key, load_params
from tasks._stage import arguments, command, measured, write_report

_CURVE_POINTS = 400

_RANKING_GATES: tuple[tuple[str, Direction], ...] = (
    ("roc_auc", "at least"),
    ("average_precision", "at least"),
    ("brier", "at most"),
)

Mask = npt.NDArray[np.bool_]
Share = Annotated[float, Field(ge=0, le=1)]


class Gates(Section):
    """Thresholds; each must stand in params.yaml."""

    roc_auc: Share
    average_precision: Share
    brier: Share
    demographic_parity_difference: dict[str, Share]
    equalized_odds_difference: dict[str, Share]


class EvaluateParams(Params):
    section = "evaluate"

    project: str = key("project")
    target: str = key("data.target")
    positive: str = key("data.positive")
    sensitive: list[str] = key("data.sensitive")
    min_category_rows: int = key("data.min_category_rows", ge=1)
    threshold_for: Purpose = key("evaluate.threshold_for")
    false_negative_cost: float = key("evaluate.false_negative_cost", gt=0)
    parity_reserve: float | None = key("evaluate.parity_reserve", ge=0, lt=1)
    bootstrap_samples: int = key("evaluate.bootstrap_samples", ge=100)
    min_group_rows: int = key("evaluate.min_group_rows", ge=1)
    min_group_positives: int = key("evaluate.min_group_positives", ge=1)
    seed: int = key("evaluate.seed", ge=0)
    gates: Gates = key("evaluate.gates")


class Evaluation(NamedTuple):
    metrics: dict[str, Any]
    report: dict[str, Any]
    predictions: pa.Table
    roc: list[dict[str, float]]
    pr: list[dict[str, float]]


def run(
    scorer: Scorer,
    validation: pa.Table,
    test: pa.Table,
    public: Mapping[str, Sequence[str]],
    params: EvaluateParams,
) -> Evaluation:
    """Judge the shipped model.

    Parameters
    ----------
    scorer
        The model that ships.
    validation
        Rows on which the decision threshold is chosen.
    test
        Rows on which everything else is measured.
    public
        Categories by column that a report may name.

    Raises
    ------
    DataError
        A row was made by a sampler, or a sensitive feature is missing.
    ParameterError
        A sensitive feature has no threshold.
    """
    refuse_made_rows(validation, "validation")
    refuse_made_rows(test, "test")
    require(test, [columns.audit(s) for s in params.sensitive], "data.sensitive")
    _require_thresholds(params)
    labels = binary_labels(test, params.target, params.positive)
    probability = _score(scorer, test)
    threshold, chosen = _threshold(scorer, validation, public, params)
    decisions = probability >= threshold
    figures = metrics(labels, probability, threshold)
    intervals = ranking_intervals(labels, probability, params.bootstrap_samples, params.seed)
    gates = [
        judge(name, figures[name], intervals[name], getattr(params.gates, name), direction, len(labels))
        for name, direction in _RANKING_GATES
    ]
    fairness = {}
    for sensitive in params.sensitive:
        values = test[columns.audit(sensitive)].to_pylist()
        groups = group_names(values, public.get(sensitive, ()), params.min_category_rows)
        by_group = audit(labels, decisions, groups)
        fairness[sensitive] = {"groups": by_group, **differences(labels, decisions, groups)}
        gates += _group_gates(sensitive, labels, decisions, groups, by_group, params)
    unseen = ~flag(test, columns.SEEN)
    report = {
        "verdict": verdict(gates),
        "gates": [gate.as_dict() for gate in gates],
        "metrics": figures,
        "intervals": intervals,
        "threshold": chosen,
        "n_test": len(labels),
        "labels": _label_names(test, params),
        "unseen": _unseen(labels[unseen], probability[unseen], threshold),
        "fairness": fairness,
    }
    drawn = curves(labels, probability, _CURVE_POINTS)
    predictions = pa.table({"label": pa.array(labels.astype(np.int8)), "probability": pa.array(probability)})
    return Evaluation({**figures, "n_test": len(labels)}, report, predictions, drawn["roc"], drawn["pr"])


def _threshold(
    scorer: Scorer, validation: pa.Table, public: Mapping[str, Sequence[str]], params: EvaluateParams
) -> tuple[float, dict[str, Any]]:
    """The decision threshold, and how it came about."""
    labels = binary_labels(validation, params.target, params.positive)
    probability = _score(scorer, validation)
    purpose = params.threshold_for, params.false_negative_cost
    best = choose_threshold(labels, probability, *purpose)
    limits = {} if params.parity_reserve is None else _parity_limits(validation, public, params)
    threshold = choose_threshold(labels, probability, *purpose, list(limits.values()))
    return threshold, {
        "chosen_for": params.threshold_for,
        "parity_limits": {name: limit.largest_difference for name, limit in limits.items()},
        "validation": {
            "without_limits": metrics(labels, probability, best),
            "chosen": metrics(labels, probability, threshold),
        },
    }


def _parity_limits(
    validation: pa.Table, public: Mapping[str, Sequence[str]], params: EvaluateParams
) -> dict[str, ParityLimit]:
    """By sensitive feature: its groups that are large enough, and their gate less the reserve."""
    require(validation, [columns.audit(s) for s in params.sensitive], "data.sensitive")
    limits = {}
    for sensitive in params.sensitive:
        values = validation[columns.audit(sensitive)].to_pylist()
        groups = group_names(values, public.get(sensitive, ()), params.min_category_rows)
        rows = Counter(groups)
        large = [name if rows[name] >= params.min_group_rows else None for name in groups]
        gate = params.gates.demographic_parity_difference[sensitive]
        limits[sensitive] = ParityLimit(
            np.array(large, dtype=object), gate * (1.0 - (params.parity_reserve or 0.0))
        )
    return limits


def _require_thresholds(params: EvaluateParams) -> None:
    for name in ("demographic_parity_difference", "equalized_odds_difference"):
        thresholds = set(getattr(params.gates, name))
        absent, unknown = (
            sorted(set(params.sensitive) - thresholds),
            sorted(thresholds - set(params.sensitive)),
        )
        if unknown:
            raise ParameterError(
                f"evaluate.gates.{name} has thresholds for {unknown}, which data.sensitive does not name. "
                "Name them there, or remove the thresholds."
            )
        if absent:
            raise ParameterError(
                f"evaluate.gates.{name} has no threshold for the sensitive features {absent}. Add them to params.yaml."
            )


def _label_names(test: pa.Table, params: EvaluateParams) -> list[str]:
    """The two labels, the positive one last."""
    names = {str(name) for name in test[params.target].unique().to_pylist()}
    return sorted(names, key=lambda name: name == params.positive)


def _score(scorer: Scorer, table: pa.Table) -> npt.NDArray[np.float64]:
    return scorer.probability(raw_columns(table, [column.name for column in scorer.encoder.inputs]))


def _unseen(labels: Mask, probability: npt.NDArray[np.float64], threshold: float) -> dict[str, Any]:
    """Figures of the test rows whose features no training row shares; none where one class is absent."""
    if not 0 < labels.sum() < len(labels):
        return {"n_test": len(labels), "metrics": None}
    return {"n_test": len(labels), "metrics": metrics(labels, probability, threshold)}


def _group_gates(
    sensitive: str,
    labels: Mask,
    decisions: Mask,
    groups: npt.NDArray[np.object_],
    by_group: Mapping[str, Mapping[str, float]],
    params: EvaluateParams,
) -> list[Gate]:
    """Gates about the groups of `sensitive`, judged on the groups that are large enough to be evidence."""
    enough_rows = {name: g for name, g in by_group.items() if g["n_rows"] >= params.min_group_rows}
    enough_of_both = {
        name: g
        for name, g in enough_rows.items()
        if min(g["n_positive"], g["n_rows"] - g["n_positive"]) >= params.min_group_positives
    }
    gates = []
    for metric, judged in (
        ("demographic_parity_difference", enough_rows),
        ("equalized_odds_difference", enough_of_both),
    ):
        name, threshold = f"{metric}:{sensitive}", getattr(params.gates, metric)[sensitive]
        rows = np.isin(groups, list(judged))
        left_out = sorted(set(by_group) - set(judged))
        if len(judged) < 2:
            gates.append(no_evidence(name, threshold, int(rows.sum()), left_out))
            continue
        interval = difference_intervals(list(judged.values()), params.bootstrap_samples, params.seed)[metric]
        figure = differences(labels[rows], decisions[rows], groups[rows])[metric]
        gates.append(judge(name, figure, interval, threshold, "at most", int(rows.sum()), left_out))
    return gates


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments(
        "evaluate", argv, "encoder", "model", "validation", "test", "expectations", "key-id",
        "metrics", "report", "predictions", "roc", "pr",
    )  # fmt: skip
    params = load_params(EvaluateParams, args.params)
    with measured("evaluate"):
        vault = open_vault(params.project, args.key_id)
        encoder = vault.read(args.encoder, role="encoder", schema=ENCODER_SCHEMA)
        model = vault.read(args.model, role="model", schema=MODEL_SCHEMA)
        suite = parse_suite(read_bytes(args.expectations), str(args.expectations))
        result = run(
            Scorer(Encoder.from_json(encoder), model),
            from_parquet(vault.read(args.validation, role="debiased-validation", schema=SCHEMA)),
            from_parquet(vault.read(args.test, role="debiased-test", schema=SCHEMA)),
            public_categories(suite),
            params,
        )
        report = {**result.report, "candidate": content_digest(vault, encoder, model)}
        vault.write(args.predictions, to_parquet(result.predictions), role="predictions", schema=SCHEMA)
        write_report(args.roc, result.roc)
        write_report(args.pr, result.pr)
        write_report(args.report, report)
        write_report(args.metrics, result.metrics)


if __name__ == "__main__":
    command(main)
