"""Gates of a candidate against the champion, on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.evaluation.bootstrap import percentiles, ranking_draws
from lockstep.evaluation.gates import Gate, judge, no_evidence

FIGURES: Mapping[str, float] = {"roc_auc": 1.0, "average_precision": 1.0, "brier": -1.0}
"""What is compared, and whether more of it is better or worse."""

Floats = npt.NDArray[np.float64]


def judge_against(
    codes: npt.NDArray[np.int64],
    candidate: Floats,
    champion: Floats,
    thresholds: Mapping[str, float],
    samples: int,
    seed: int,
) -> tuple[list[Gate], dict[str, Any]]:
    """Judge how much worse than the champion a candidate is, by each of `FIGURES`.

    Parameters
    ----------
    codes
        Number of each row's class, shape (n,).
    candidate, champion
        Probabilities of the same n rows, as `lockstep.evaluation.metrics.metrics` takes them.
    thresholds
        By figure: how much worse the candidate may be.
    samples, seed
        Of the paired bootstrap (Efron & Tibshirani 1993): both models are judged on the same draws of the rows, so that
        what is hard about a draw is hard for both, and cancels out.

    Returns
    -------
    gates
        One for each figure; what it judges is the champion's lead, below 0 where the candidate leads.
    figures
        Of both models, for the report.
    """
    draws = ranking_draws(codes, {"candidate": candidate, "champion": champion}, samples, seed)
    gates = []
    for figure, sign in FIGURES.items():
        lead = sign * (draws["champion"][figure] - draws["candidate"][figure])
        interval = percentiles(lead[1:])
        gates.append(
            judge(gate_name(figure), float(lead[0]), interval, thresholds[figure], "at most", len(codes))
        )
    return gates, {
        figure: {model: float(of_model[figure][0]) for model, of_model in draws.items()} for figure in FIGURES
    }


def not_comparable(thresholds: Mapping[str, float], n_rows: int) -> list[Gate]:
    """The same gates without evidence: the champion has no answers to these rows."""
    return [no_evidence(gate_name(figure), thresholds[figure], n_rows, ()) for figure in FIGURES]


def gate_name(figure: str) -> str:
    """Name of the gate about `figure`."""
    return f"champion:{figure}"
