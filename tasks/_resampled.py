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
from lockstep.data.labels import binary_labels
from lockstep.data.tables import SCHEMA, from_parquet
from lockstep.evaluation.calibration_error import expected_calibration_error
from lockstep.evaluation.metrics import metrics
from lockstep.evaluation.thresholds import choose_threshold
from lockstep.models.calibration import fit_platt
from lockstep.models.scoring import probabilities
from lockstep.sealing.vault import open_vault
from tasks import resample, train
from tasks._fold import Floats, NoCheckpoint, answers_of
from tasks._params import load_params
from tasks._stage import write_report


def run(
    train_rows: pa.Table,
    validation: pa.Table,
    transform: Decorrelation | None,
    resampling: resample.ResampleParams,
    training: train.TrainParams,
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
    resampled = resample.run(train_rows, resampling)
    trained = train.run(resampled.train, validation, training, NoCheckpoint(), transform=transform)
    labels = binary_labels(validation, training.target, training.positive)
    curve = trained.report["calibration"]
    before = (answers_of(trained, validation) - curve["intercept"]) / curve["slope"]
    uncalibrated = probabilities(before)[:, 0]
    calibrated = _calibrated(before, labels, training.seed)
    threshold = choose_threshold(labels, uncalibrated, "f1", 1.0)
    found = metrics(labels, uncalibrated, threshold)
    return {
        "n_train": len(resampled.train),
        "n_made": resampled.report["after"]["n_made"],
        "figures": {
            "average_precision": found["average_precision"],
            "f1": found["f1"],
            "brier_uncalibrated": found["brier"],
            "brier": float(np.mean((calibrated - labels) ** 2)),
            "ece_uncalibrated": expected_calibration_error(labels, uncalibrated),
            "ece": expected_calibration_error(labels, calibrated),
        },
    }


def _calibrated(answers: Floats, labels: Any, seed: int) -> Floats:
    half = np.zeros(len(labels), dtype=bool)
    order = np.random.default_rng(seed).permutation(len(labels))
    # By class, so that a rare one is in both.
    half[order[np.argsort(labels[order], kind="stable")][::2]] = True
    calibrated = np.empty(len(labels))
    for scored in (half, ~half):
        slope, intercepts = fit_platt(answers[~scored], labels[~scored].astype(int))
        calibrated[scored] = probabilities(answers[scored] * slope + intercepts)[:, 0]
    return calibrated


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="tasks._resampled")
    for path in ("train", "validation", "transform", "key-id", "params", "report"):
        parser.add_argument(f"--{path}", required=True, type=Path)
    args = parser.parse_args(argv)
    resampling = load_params(resample.ResampleParams, args.params)
    training = load_params(train.TrainParams, args.params)
    vault = open_vault(training.project, args.key_id)
    train_rows, validation = (
        from_parquet(vault.read(getattr(args, part), role=f"debiased-{part}", schema=SCHEMA))
        for part in ("train", "validation")
    )
    transform = decorrelation.from_json(
        vault.read(args.transform, role="transform", schema=decorrelation.SCHEMA)
    )
    started = time.perf_counter()
    report = run(train_rows, validation, transform, resampling, training)
    report["figures"]["seconds"] = time.perf_counter() - started
    write_report(args.report, report)
