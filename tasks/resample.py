"""Stage `resample`: balances the classes of the training rows, and marks the rows that it made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from lockstep.balance.methods import resample
from lockstep.data.columns import MADE, WEIGHT
from lockstep.data.labels import binary_labels
from lockstep.data.tables import SCHEMA, from_parquet, to_parquet
from lockstep.sealing.vault import open_vault
from tasks._params import Params, key, load_params
from tasks._stage import arguments, command, measured, write_report


class ResampleParams(Params):
    section = "resample"

    project: str = key("project")
    target: str = key("data.target")
    positive: str = key("data.positive")
    method: Literal["none", "over", "under", "weights"] = key("resample.method")
    ratio: float = key("resample.ratio", gt=0, le=1)
    seed: int = key("resample.seed", ge=0)


class Resampled(NamedTuple):
    train: pa.Table
    report: dict[str, Any]


def run(train: pa.Table, params: ResampleParams) -> Resampled:
    """Resample the training rows.

    Returns
    -------
    Resampled
        The rows with ``lockstep:made`` (bool) and ``lockstep:weight`` (float32), and the balance before and after.
    """
    labels = binary_labels(train, params.target, params.positive)
    rows, made, weights = resample(params.method, labels, params.ratio, params.seed)
    table = train.take(rows).append_column(MADE, pa.array(made)).append_column(WEIGHT, pa.array(weights))
    after = labels[rows]
    report = {
        "method": params.method,
        "before": {"n_rows": len(labels), "n_positive": int(labels.sum())},
        "after": {
            "n_rows": len(rows),
            "n_positive": int(after.sum()),
            "n_made": int(made.sum()),
            "positive_weight_share": round(float(np.average(after, weights=weights)), 6),
        },
    }
    return Resampled(table, report)


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments("resample", argv, "train", "key-id", "resampled", "report")
    params = load_params(ResampleParams, args.params)
    with measured("resample"):
        vault = open_vault(params.project, args.key_id)
        result = run(from_parquet(vault.read(args.train, role="debiased-train", schema=SCHEMA)), params)
        vault.write(args.resampled, to_parquet(result.train), role="resampled-train", schema=SCHEMA)
        write_report(args.report, result.report)


if __name__ == "__main__":
    command(main)
