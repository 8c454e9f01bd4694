"""How far probabilities are from the frequencies that they promise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def expected_calibration_error(
    labels: npt.NDArray[np.bool_], probability: npt.NDArray[np.float64], bins: int = 15
) -> float:
    """Mean distance of probability and frequency over bins of equally many rows.

    Parameters
    ----------
    labels
        True for the positive class, shape (n,).
    probability
        Of the positive class, in [0, 1], shape (n,).
    bins
        How many; equal widths would leave nearly all rows of a rare class in the first one.

    References
    ----------
    K. Nguyen & B. O'Connor (2015), "Posterior calibration and exploratory analysis for natural language processing
    models", arXiv:1508.05154, after M. P. Naeini et al. (2015), "Obtaining Well Calibrated Probabilities Using
    Bayesian Binning".
    """
    order = np.argsort(probability, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    distances = [abs(float(np.mean(probability[part]) - np.mean(labels[part]))) for part in parts]
    return float(np.average(distances, weights=[len(part) for part in parts]))
