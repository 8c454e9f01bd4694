"""How `evaluate` decides from probabilities: by one threshold within the gates about groups, or by those of groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from lockstep.bundle.decision import Decision, groups_of
from lockstep.bundle.scorer import Scorer
from lockstep.data import columns
from lockstep.data.encoding import Encoder, Input
from lockstep.data.labels import labels_of
from lockstep.data.tables import raw_columns, require, values_of
from lockstep.evaluation.metrics import metrics
from lockstep.evaluation.thresholds import ParityLimit, Purpose, choose_threshold
from lockstep.fairness import group_thresholds
from lockstep.fairness.group_thresholds import Enough
from lockstep.fairness.groups import OTHER, group_names, intersections
from lockstep.fairness.methods import Constraint, Method
from tasks._groups import protected, require_groups
from tasks._params import Params, Section, key

Floats = npt.NDArray[np.float64]
Share = Annotated[float, Field(ge=0, le=1)]


class Tolerated(Section):
    """The largest share that may be lost `at` a strength of what the model is better by than a random order."""

    at: Annotated[float, Field(gt=0)]
    loss: Annotated[float, Field(ge=0)]


class ToleratedShare(Tolerated):
    at: Annotated[float, Field(gt=0, le=1)]


class ToleratedCount(Tolerated):
    at: Annotated[int, Field(ge=1)]


class RobustnessGates(Section):
    """What each perturbation of `lockstep.evaluation.robustness` may cost."""

    noise: Tolerated
    missing: ToleratedShare
    swapped: ToleratedShare
    fgsm: Tolerated
    pgd: Tolerated
    flips: ToleratedCount
    shifted: Tolerated


class Gates(Section):
    """Thresholds; each must stand in params.yaml."""

    roc_auc: Share
    average_precision: Share
    brier: Share
    demographic_parity_difference: dict[str, Share]
    equalized_odds_difference: dict[str, Share]
    explanation_agreement: Annotated[float, Field(ge=-1, le=1)]
    membership_inference: Share | None
    membership_inference_auc: Share | None
    robustness: RobustnessGates


class DecisionParams(Params):
    """What of params.yaml the decision follows from."""

    target: str = key("data.target")
    positive: str | None = key("data.positive")
    sensitive: list[str] = key("data.sensitive")
    min_category_rows: int = key("data.min_category_rows", ge=1)
    threshold_for: Purpose = key("evaluate.threshold_for")
    false_negative_cost: float = key("evaluate.false_negative_cost", gt=0)
    parity_reserve: float | None = key("evaluate.parity_reserve", ge=0, lt=1)
    min_group_rows: int = key("evaluate.min_group_rows", ge=1)
    min_group_positives: int = key("evaluate.min_group_positives", ge=1)
    seed: int = key("evaluate.seed", ge=0)
    mitigation: Method = key("debias.method")
    protect: list[str] | None = key("debias.protect")
    constraint: Constraint = key("debias.constraint")
    gates: Gates = key("evaluate.gates")


class Decided(NamedTuple):
    """A rule, and how it came about: a part of the report; none of a model of several classes."""

    rule: Decision
    report: dict[str, Any] | None


def decision_of(
    validation: pa.Table,
    probability: Floats,
    encoder: Encoder,
    public: Mapping[str, Sequence[str]],
    params: DecisionParams,
) -> Decided:
    """How rows get a class, chosen on the validation rows.

    Of several classes a row gets the likeliest. Of two, one threshold holds for everybody, unless debias.method is
    thresholds: then those of groups do, and the gates' limits are not looked at, for the method has its own constraint.

    Parameters
    ----------
    probability
        Of the validation rows, as the model that ships gives it.
    """
    if params.positive is None:
        return Decided(Decision(None), None)
    codes = labels_of(validation, params.target, params.positive).codes
    purpose = params.threshold_for, params.false_negative_cost
    best = choose_threshold(codes == 1, probability, *purpose)
    report: dict[str, Any] = {"chosen_for": params.threshold_for, "parity_limits": {}}
    free = metrics(codes, probability, best)
    if params.mitigation == "thresholds":
        rule = _of_groups(
            validation, codes == 1, probability, Decision(best, seed=params.seed), free["f1"], params
        )
        report["of_groups"] = _described(rule, validation, probability, public, params)
    else:
        limits = {}
        if params.parity_reserve is not None:
            limits = _parity_limits(validation, public, params, params.parity_reserve)
        report["parity_limits"] = {name: limit.largest_difference for name, limit in limits.items()}
        rule = Decision(choose_threshold(codes == 1, probability, *purpose, list(limits.values())))
    decisions = decide(rule, validation, probability, encoder)
    chosen = metrics(codes, probability, rule.threshold, decisions)
    return Decided(rule, {**report, "validation": {"without_limits": free, "chosen": chosen}})


def decide(rule: Decision, table: pa.Table, probability: Floats, encoder: Encoder) -> npt.NDArray[np.int64]:
    """Number of the class that each row of `table` gets."""
    names = [column.name for column in (*encoder.inputs, *rule.sensitive)] if rule.groups else []
    return rule.codes(probability, raw_columns(table, names), encoder.encode)


def _of_groups(
    validation: pa.Table,
    labels: npt.NDArray[np.bool_],
    probability: Floats,
    one: Decision,
    best_f1: float,
    params: DecisionParams,
) -> Decision:
    """Thresholds of groups; `one` holds for rows of none, and has the F1 `best_f1` where it is chosen for that."""
    names = protected(params.sensitive, params.protect)
    require_groups(names)
    require(validation, [columns.audit(name) for name in names], "data.sensitive")
    cost = {
        "accuracy": 1.0,
        "cost": params.false_negative_cost,
        # Where F1 is highest, a threshold of half of it is best (Lipton, Elkan & Naryanaswamy 2014, arXiv:1402.1892).
        "f1": (2.0 - best_f1) / max(best_f1, 1e-9),
    }[params.threshold_for]
    sensitive = raw_columns(validation, names)
    groups, others = group_thresholds.fit(
        labels,
        probability,
        sensitive,
        params.constraint,
        cost,
        Enough(max(params.min_group_rows, params.min_category_rows), params.min_group_positives),
        params.seed,
    )
    kinds = (Input(n, "category" if values.dtype == object else "numeric") for n, values in sensitive.items())
    return Decision(one.threshold, tuple(kinds), groups, others, one.seed)


def _described(
    rule: Decision,
    validation: pa.Table,
    probability: Floats,
    public: Mapping[str, Sequence[str]],
    params: DecisionParams,
) -> dict[str, Any]:
    """What a report may say of thresholds of groups: only groups of public categories are named."""
    names = [one.name for one in rule.sensitive]
    table = raw_columns(validation, names)
    rows = Counter(groups_of(table, names))
    named = {
        group: " & ".join(group)
        for group in rule.groups
        if all(value in public.get(name, ()) for name, value in zip(names, group, strict=True))
    }
    found = [
        {"group": name, "n_rows": rows[group], **asdict(rule.groups[group])} for group, name in named.items()
    ]
    n_others = sum(n for group, n in rows.items() if group not in rule.groups)
    if rule.others:
        found.append({"group": OTHER, "n_rows": n_others, **asdict(rule.others)})
    return {
        "constraint": params.constraint,
        "protected": names,
        "groups": found,
        "groups_not_named": len(rule.groups) - len(named),
        "share_decided_by_a_coin": rule.by_coin(probability, table),
    }


def _parity_limits(
    validation: pa.Table, public: Mapping[str, Sequence[str]], params: DecisionParams, reserve: float
) -> dict[str, ParityLimit]:
    """By sensitive feature with two groups that are large enough: these, and their gate less the reserve."""
    require(validation, [columns.audit(s) for s in params.sensitive], "data.sensitive")
    limits = {}
    for name, groups in named_groups(validation, params.sensitive, public, params.min_category_rows).items():
        rows = Counter(groups)
        large = [group if rows[group] >= params.min_group_rows else None for group in groups]
        gate = params.gates.demographic_parity_difference[name]
        if len({*large} - {None}) > 1:
            limits[name] = ParityLimit(np.array(large, dtype=object), gate * (1.0 - reserve))
    return limits


def named_groups(
    table: pa.Table, sensitive: Sequence[str], public: Mapping[str, Sequence[str]], min_rows: int
) -> dict[str, npt.NDArray[np.object_]]:
    """By sensitive feature: the name that a report may call each row's group by."""
    return {
        name: group_names(values_of(table[columns.audit(name)]), public.get(name, ()), min_rows)
        for name in sensitive
    }


def audited_groups(
    table: pa.Table, sensitive: Sequence[str], public: Mapping[str, Sequence[str]], min_rows: int
) -> dict[str, npt.NDArray[np.object_]]:
    """`named_groups`, and behind them those of all features together."""
    found = named_groups(table, sensitive, public, min_rows)
    if len(found) > 1:
        found[together(sensitive)] = intersections(list(found.values()), min_rows)
    return found


def together(sensitive: Sequence[str]) -> str:
    """Name of all sensitive features together."""
    return " & ".join(sensitive)


def score(scorer: Scorer, table: pa.Table) -> npt.NDArray[np.float64]:
    """Probabilities of the rows of `table`, as `Scorer.probability` gives them."""
    return scorer.probability(raw_columns(table, [column.name for column in scorer.encoder.inputs]))
