"""Weights under which label and group are independent."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd


def weights(labels: npt.NDArray[Any], groups: npt.NDArray[np.object_]) -> npt.NDArray[np.float32]:
    """Weight of each of n rows: how often its label and group would meet by chance, over how often they do.

    Parameters
    ----------
    labels, groups
        Of training rows, shape (n,).

    Returns
    -------
    ndarray of float32, shape (n,)
        Their sum is n.

    References
    ----------
    F. Kamiran and T. Calders (2012), "Data preprocessing techniques for classification without discrimination",
    Knowledge and Information Systems 33, 1-33, algorithm 3.
    """
    frame = pd.DataFrame({"label": labels, "group": groups})
    ones = np.ones(len(frame))

    def share(*by: str) -> npt.NDArray[np.float64]:
        sums = pd.Series(ones).groupby([frame[name] for name in by]).transform("sum")
        return np.asarray(sums.to_numpy(), dtype=np.float64) / len(frame)

    return (share("label") * share("group") / share("label", "group")).astype(np.float32)
