"""Histogram gradient boosting of scikit-learn."""

from __future__ import annotations

import numpy as np

from benchmarks._search import Allowed, Config, Predict
from benchmarks._tables import SEED, Part
from benchmarks.peers import MAX_TREES, PATIENCE

TITLE = "HistGradientBoosting"
PACKAGE = "scikit-learn"
ENDS_ITSELF = False


def draw(rng: np.random.Generator) -> Config:
    return {
        "learning_rate": float(10 ** rng.uniform(-2, -0.5)),
        "max_leaf_nodes": int(2 ** rng.uniform(2, 8)),
        "min_samples_leaf": int(2 ** rng.uniform(1, 7)),
        "l2_regularization": float(10 ** rng.uniform(-3, 1.5)),
        "max_features": float(rng.uniform(0.4, 1)),
    }


def fit(train: Part, validation: Part, config: Config, allowed: Allowed) -> Predict:
    from sklearn.ensemble import HistGradientBoostingClassifier

    model = HistGradientBoostingClassifier(
        max_iter=MAX_TREES, early_stopping=True, n_iter_no_change=PATIENCE, random_state=SEED, **config
    )
    model.fit(train.frame, train.target, X_val=validation.frame, y_val=validation.target)
    return lambda rows: np.asarray(model.predict_proba(rows.frame))
