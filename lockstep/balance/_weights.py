"""Class weights: every row stays, and those of small classes count for more in the loss."""

from __future__ import annotations

import numpy as np

from lockstep.balance.rows import Codes, Columns, Resampled, of_input


def weights(columns: Columns, codes: Codes, ratio: float, seed: int) -> Resampled:
    counts = np.bincount(codes)
    of_class = np.maximum(1.0, ratio / (np.maximum(counts, 1) / counts.max()))
    of_row = of_class[codes].astype(np.float32)
    return of_input(np.arange(len(codes)))._replace(weights=of_row / of_row.mean())
