"""A learning curve: what a model is worth that is trained on more and more of the rows that there are.

Intervals are of the pigeonhole bootstrap, which draws networks and validation rows anew, each by itself: A. B. Owen
(2007), "The Pigeonhole Bootstrap", Annals of Applied Statistics 1 (2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lockstep.evaluation.bootstrap import percentiles

SHARES = (0.125, 0.25, 0.5, 1.0)
"""Of the training rows: each twice the one before."""

HELPS, NO_GAIN = "more rows would help", "no gain was found"


def learning_curve_of(networks: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    """Points of the curve, and what the last doubling gained.

    Parameters
    ----------
    networks
        Of each share, and of each of its networks: ``n_train`` and ``n_validation`` rows, and ``average_precision`` on
        the validation rows and on each of the same draws of them.

    Returns
    -------
    dict
        ``points`` with the mean of a share's networks, ``last_gain`` and its ``verdict``.
    """
    draws = np.array([[one["average_precision"] for one in of_share] for of_share in networks])
    n_networks, samples = draws.shape[1], draws.shape[2] - 1
    # The same networks of each share: those of one number learn from rows that hold one another's.
    chosen = np.random.default_rng(0).integers(n_networks, size=(samples, n_networks))
    means = draws[:, chosen, 1 + np.arange(samples)[:, None]].mean(axis=2)
    figures = draws[:, :, 0].mean(axis=1)
    rows = [round(float(np.mean([one["n_train"] for one in of_share]))) for of_share in networks]
    low, high = percentiles(means[-1] - means[-2])
    return {
        "networks": n_networks,
        "n_validation": networks[0][0]["n_validation"],
        "points": [
            {"n_train": n_train, "average_precision": float(figure), "interval": percentiles(of_share)}
            for n_train, figure, of_share in zip(rows, figures, means, strict=True)
        ],
        "last_gain": {"average_precision": float(figures[-1] - figures[-2]), "interval": (low, high)},
        "verdict": HELPS if low > 0.0 else NO_GAIN,
    }


def sentence(found: Mapping[str, Any]) -> str:
    """What `learning_curve_of` found, for a person."""
    before, last = found["points"][-2:]
    gain, (low, high) = found["last_gain"]["average_precision"], found["last_gain"]["interval"]
    what = (
        "more rows like these would help."
        if found["verdict"] == HELPS
        else f"no gain that is told from chance, and hardly one above {max(high, 0.0):.4f}. More rows alone would not "
        "help by more than that."
    )
    return (
        f"From {before['n_train']:,} to {last['n_train']:,} training rows, average precision on "
        f"{found['n_validation']:,} validation rows changed by {gain:+.4f} ({low:+.4f} to {high:+.4f}): {what}"
    )
