"""How far probabilities are to be believed: reliability diagram and expected calibration error."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

BINS = 15


def believed(codes: npt.NDArray[np.int64], probability: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """What the model says of n rows, and whether it holds.

    Of two classes that is the probability of the positive one, of more that of the likeliest ("top label").

    Parameters
    ----------
    codes
        Number of each row's class, shape (n,).
    probability
        Shape (n,), or (n, k) of each of k classes.

    Returns
    -------
    confidence, right
        Shape (n,) each.
    """
    if probability.ndim == 1:
        return probability, codes == 1
    return probability.max(axis=1), probability.argmax(axis=1) == codes


def quantile_bins(confidence: Floats) -> npt.NDArray[np.int64]:
    """Number of each row's bin: `BINS` of about as many rows, equal probabilities in one; shape (n,).

    Bins of equal width would leave nearly all rows of a rare class in the first.
    """
    edges = np.quantile(confidence, np.linspace(0.0, 1.0, BINS + 1))
    return np.searchsorted(edges[1:-1], confidence).astype(np.int64)


def expected_calibration_error(confidence: Floats, right: npt.NDArray[np.bool_]) -> float:
    """Mean distance between confidence and share of right rows over `quantile_bins`, weighted by their rows.

    References
    ----------
    C. Guo et al. (2017), "On Calibration of Modern Neural Networks", arXiv:1706.04599; K. Nguyen & B. O'Connor (2015),
    "Posterior calibration and exploratory analysis for natural language processing models", arXiv:1508.05154.
    """
    return float(np.abs(np.bincount(quantile_bins(confidence), confidence - right)).sum() / len(right))


def reliability(confidence: Floats, right: npt.NDArray[np.bool_]) -> list[dict[str, float]]:
    """Points of the reliability diagram: a bin each, with Wilson's 95 % interval of its share of right rows."""
    from scipy.stats import binomtest

    bins = quantile_bins(confidence)
    points = []
    for number in np.unique(bins):
        chosen = bins == number
        n_rows, n_right = int(chosen.sum()), int(right[chosen].sum())
        interval = binomtest(n_right, n_rows).proportion_ci(method="wilson")
        points.append(
            {
                "n_rows": n_rows,
                "mean_probability": float(confidence[chosen].mean()),
                "share": n_right / n_rows,
                "low": float(interval.low),
                "high": float(interval.high),
            }
        )
    return points
