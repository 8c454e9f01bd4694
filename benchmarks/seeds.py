"""The default network on the Census table's own test rows, over several seeds of the training.

    python -m benchmarks.seeds [--seeds N ...]

With sex and race among the features, and without them; no row resampled, no proxy dropped. Each training stops early
and is calibrated on the same validation rows, and is scored on the test rows once. Printed as Markdown, with the mean
over the seeds, and the seconds of fitting, encoder and calibration included.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np

from benchmarks._search import Allowed
from benchmarks._tables import TABLES
from benchmarks.peers import lockstep
from lockstep.evaluation.metrics import metrics

FEATURES = {"with sex and race": "census", "without them": "census_without_sex_race"}
FIGURES = ("roc_auc", "average_precision", "error_rate", "brier", "ece")

_UNLIMITED = Allowed(float("inf"), time.perf_counter)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[20, 21, 22], metavar="N")
    seeds = parser.parse_args(argv).seeds
    print(f"| features | seed | {' | '.join(FIGURES)} | seconds |")
    print("| --- " * (len(FIGURES) + 3) + "|")
    for features, table in FEATURES.items():
        found = np.asarray([_measured(table, seed) for seed in seeds])
        for seed, row in zip(seeds, found, strict=True):
            _print(features, str(seed), row)
        _print(features, "mean", found.mean(axis=0))


def _measured(name: str, seed: int) -> list[float]:
    table = TABLES[name]()
    (fold,) = table.folds
    began = time.perf_counter()
    predict = lockstep.fit(table.part(fold.train), table.part(fold.validation), {"seed": seed}, _UNLIMITED)
    seconds = time.perf_counter() - began
    test = table.part(fold.test)
    figures = metrics(test.target, predict(test)[:, 1], 0.5)
    return [*(figures[name] for name in FIGURES), seconds]


def _print(features: str, seed: str, row: np.ndarray) -> None:
    *figures, seconds = row
    print(f"| {features} | {seed} | {' | '.join(f'{x:.4f}' for x in figures)} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
