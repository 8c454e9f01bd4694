"""What the networks of pytabkit (Holzmüller et al. 2024) share: they cannot be told a time, only epochs."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks._search import THREADS, Allowed, Config, Predict, TooSlow
from benchmarks._tables import SEED, Part, categories, imputed

_ROWS = 2000
_EPOCHS = 4
_MARGIN = 0.8


def fit(
    estimator: Callable[..., Any],
    train: Part,
    validation: Part,
    config: Config,
    allowed: Allowed,
    epochs: int,
) -> Predict:
    """Fit for `epochs` epochs, or for as many as the allowed time holds; raises TooSlow where it holds none."""
    names = list(categories(train.frame))
    # Lightning tells of the devices that it did not find, at each fit.
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

    def fitted(rows: int, n_epochs: int) -> Any:
        model = estimator(
            device="cpu",
            n_threads=THREADS,
            random_state=SEED,
            val_metric_name="cross_entropy",
            n_epochs=n_epochs,
            **config,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return model.fit(
                imputed(train.frame[:rows], train.frame),
                train.target[:rows],
                X_val=imputed(validation.frame, train.frame),
                y_val=validation.target,
                cat_col_names=names,
            )

    model = fitted(len(train.target), _that_fit(fitted, len(train.target), allowed, epochs))
    return lambda rows: np.asarray(model.predict_proba(imputed(rows.frame, train.frame)), dtype=np.float64)


def _that_fit(fitted: Callable[[int, int], Any], n_rows: int, allowed: Allowed, at_most: int) -> int:
    rows = min(n_rows, _ROWS)
    taken = []
    for epochs in (1, 1 + _EPOCHS):
        begun = allowed.now()
        fitted(rows, epochs)
        taken.append(allowed.now() - begun)
    each = max((taken[1] - taken[0]) / _EPOCHS, 1e-6) * n_rows / rows
    epochs = int((_MARGIN * allowed.seconds - sum(taken)) / each)
    if epochs < 1:
        raise TooSlow
    return min(epochs, at_most)
