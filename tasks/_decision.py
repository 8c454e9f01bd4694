"""How `evaluate` decides from probabilities: the one threshold of two classes, within the gates about groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from lockstep.bundle.scorer import Scorer
from lockstep.data import columns
from lockstep.data.labels import labels_of
from lockstep.data.tables import raw_columns, require, values_of
from lockstep.evaluation.metrics import metrics
from lockstep.evaluation.thresholds import ParityLimit, Purpose, choose_threshold
from lockstep.fairness.groups import group_names
from tasks._params import Params, Section, key

Share = Annotated[float, Field(ge=0, le=1)]


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


class ThresholdParams(Params):
    """What of params.yaml the decision threshold follows from."""

    target: str = key("data.target")
    positive: str | None = key("data.positive")
    sensitive: list[str] = key("data.sensitive")
    min_category_rows: int = key("data.min_category_rows", ge=1)
    threshold_for: Purpose = key("evaluate.threshold_for")
    false_negative_cost: float = key("evaluate.false_negative_cost", gt=0)
    parity_reserve: float | None = key("evaluate.parity_reserve", ge=0, lt=1)
    min_group_rows: int = key("evaluate.min_group_rows", ge=1)
    gates: Gates = key("evaluate.gates")


def decision_threshold(
    scorer: Scorer, validation: pa.Table, public: Mapping[str, Sequence[str]], params: ThresholdParams
) -> tuple[float | None, dict[str, Any] | None]:
    """The decision threshold of two classes, and how it came about; of more a row gets the likeliest."""
    if params.positive is None:
        return None, None
    codes = labels_of(validation, params.target, params.positive).codes
    labels, probability = codes == 1, score(scorer, validation)
    purpose = params.threshold_for, params.false_negative_cost
    best = choose_threshold(labels, probability, *purpose)
    limits = {}
    if params.parity_reserve is not None:
        limits = _parity_limits(validation, public, params, params.parity_reserve)
    threshold = choose_threshold(labels, probability, *purpose, list(limits.values()))
    return threshold, {
        "chosen_for": params.threshold_for,
        "parity_limits": {name: limit.largest_difference for name, limit in limits.items()},
        "validation": {
            "without_limits": metrics(codes, probability, best),
            "chosen": metrics(codes, probability, threshold),
        },
    }


def _parity_limits(
    validation: pa.Table, public: Mapping[str, Sequence[str]], params: ThresholdParams, reserve: float
) -> dict[str, ParityLimit]:
    """By sensitive feature: its groups that are large enough, and their gate less the reserve."""
    require(validation, [columns.audit(s) for s in params.sensitive], "data.sensitive")
    limits = {}
    for name, groups in named_groups(validation, params.sensitive, public, params.min_category_rows).items():
        rows = Counter(groups)
        large = [group if rows[group] >= params.min_group_rows else None for group in groups]
        gate = params.gates.demographic_parity_difference[name]
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


def score(scorer: Scorer, table: pa.Table) -> npt.NDArray[np.float64]:
    """Probabilities of the rows of `table`, as `Scorer.probability` gives them."""
    return scorer.probability(raw_columns(table, [column.name for column in scorer.encoder.inputs]))
