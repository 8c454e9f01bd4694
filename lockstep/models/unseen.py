"""What a network makes of a code that no training row had."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def average_unseen(model: Any, codes: npt.NDArray[np.int32], starts: npt.NDArray[np.int32]) -> None:
    """Give each code that no training row had the mean embedding of its column's training rows.

    Where nothing was missing in training, the code of a missing value has learned nothing; neither has that of an
    unknown category where none was rare. Their initial embeddings would be noise.

    Parameters
    ----------
    model
        A trained network with an embedding table for each of its members.
    codes
        Of the training rows, shape (n, n_coded).
    starts
        First code of each column, ascending, shape (n_coded,).
    """
    for layer in model.layers:
        if not layer.name.endswith("embedding"):
            continue
        (table,) = layer.get_weights()
        ends = [*starts[1:], len(table)]
        for start, end, of_column in zip(starts, ends, codes.T, strict=True):
            rows, seen = table[start:end], np.bincount(of_column - start, minlength=end - start)
            rows[seen == 0] = np.average(rows, axis=0, weights=seen)
        layer.set_weights([table])
