"""What it costs to score with the model that ships, from raw columns to the probability."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyarrow as pa

from lockstep.bundle.scorer import Scorer
from lockstep.data.tables import raw_columns
from tasks._host import Meter

_REPEATS = {1: 300, 1000: 15}
_MILLION = 1_000_000


def cost(scorer: Scorer, table: pa.Table) -> dict[str, Any]:
    """Measure on rows of `table`, which are given again where there are too few.

    Returns
    -------
    dict
        ``latency`` by rows of a call, median and 99th percentile in milliseconds; and of a million predictions, in
        calls of the most rows, ``seconds``, ``energy_joules`` and ``energy_method``.
    """
    names = [column.name for column in scorer.encoder.inputs]
    latency = {}
    for rows, repeats in _REPEATS.items():
        raw = raw_columns(table.take(np.arange(rows) % len(table)), names)
        scorer.probability(raw)
        meter, times = Meter(), []
        for _ in range(repeats):
            started = time.perf_counter()
            scorer.probability(raw)
            times.append(time.perf_counter() - started)
        found, scale = meter.read(), _MILLION / (rows * repeats)
        p50, p99 = np.percentile(times, (50, 99)) * 1e3
        latency[f"{rows:,} row{'s' if rows > 1 else ''}"] = {"p50_ms": round(p50, 3), "p99_ms": round(p99, 3)}
    return {
        "latency": latency,
        "million_predictions": {
            "seconds": round(found["seconds"] * scale, 1),
            "energy_joules": round(found["energy_joules"] * scale, 1),
            "energy_method": found["energy_method"],
        },
    }
