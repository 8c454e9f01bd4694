"""One method of a comparison of resampling: resampled and trained anew, judged on the validation rows.

No stage: `flows.compare` calls it, and nothing of it is an output of the pipeline.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lockstep.data import decorrelation
from lockstep.data.decorrelation import Decorrelation
from lockstep.data.labels import labels_of
from lockstep.data.tables import SCHEMA, from_parquet
from lockstep.evaluation.metrics import metrics
from lockstep.evaluation.thresholds import choose_threshold
from lockstep.models.calibration import fit_platt
from lockstep.models.scoring import probabilities
from lockstep.sealing.vault import open_vault
from tasks import resample, train
from tasks._fold import Floats, NoCheckpoint, answers_of, halves
from tasks._params import load_params
from tasks._privacy import secret_of
from tasks._stage import write_report


def run(
    train_rows: pa.Table,
    validation: pa.Table,
    transform: Decorrelation | None,
    resampling: resample.ResampleParams,
    training: train.TrainParams,
    secret: int | None = None,
) -> dict[str, Any]:
    """Train on the resampled rows, and judge on the validation rows.

    Returns
    -------
    dict
        Counts of rows, and figures: F1 is that at its own best threshold; what is ``uncalibrated`` is of the network as
        it was trained, the others of probabilities of each half of the validation rows, calibrated by the other
        half, for a curve flatters the rows that it was fitted on.

    Notes
    -----
    The validation rows chose the epoch, too, so that all methods are flattered alike.
    """
    resampled = resample.run(train_rows, resampling, transform)
    trained = train.run(
        resampled.train, validation, training, NoCheckpoint(), transform=transform, secret=secret
    )
    codes = labels_of(validation, training.target, training.positive).codes
    curve = trained.report["calibration"]
    intercepts = list(curve["intercepts"].values()) if "intercepts" in curve else [curve["intercept"]]
    before = (answers_of(trained, validation) - intercepts) / curve["slope"]
    uncalibrated = _columns(probabilities(before))
    threshold = choose_threshold(codes == 1, uncalibrated, "f1", 1.0) if uncalibrated.ndim == 1 else None
    found = metrics(codes, uncalibrated, threshold)
    after = metrics(codes, _columns(_calibrated(before, codes, training.seed)), threshold)
    return {
        "n_train": len(resampled.train),
        "n_made": resampled.report["after"]["n_made"],
        "figures": {
            "average_precision": found["average_precision"],
            "f1": found["f1"],
            "brier_uncalibrated": found["brier"],
            "brier": after["brier"],
            "ece_uncalibrated": found["ece"],
            "ece": after["ece"],
        },
    }


def _columns(probability: Floats) -> Floats:
    """That of the positive class alone where there are two."""
    return probability if probability.shape[1] > 1 else probability[:, 0]


def _calibrated(answers: Floats, codes: Any, seed: int) -> Floats:
    half = halves(codes, seed)
    calibrated = np.empty(answers.shape)
    for scored in (half, ~half):
        slope, intercepts, _ = fit_platt(answers[~scored], codes[~scored])
        calibrated[scored] = probabilities(answers[scored] * slope + intercepts)
    return calibrated


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="tasks._resampled")
    for path in ("train", "validation", "transform", "key-id", "params", "report"):
        parser.add_argument(f"--{path}", required=True, type=Path)
    args = parser.parse_args(argv)
    resampling = load_params(resample.ResampleParams, args.params)
    training = load_params(train.TrainParams, args.params)
    vault = open_vault(training.project, args.key_id)
    contents = [
        vault.read(getattr(args, part), role=f"debiased-{part}", schema=SCHEMA)
        for part in ("train", "validation")
    ]
    transform = decorrelation.from_json(
        vault.read(args.transform, role="transform", schema=decorrelation.SCHEMA)
    )
    started = time.perf_counter()
    secret = secret_of(vault, contents, training)
    train_rows, validation = map(from_parquet, contents)
    report = run(train_rows, validation, transform, resampling, training, secret)
    report["figures"]["seconds"] = time.perf_counter() - started
    write_report(args.report, report)
