"""CatBoost (Prokhorenkova et al. 2018)."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks._search import THREADS, Allowed, Config, Predict
from benchmarks._tables import SEED, Part, categories, imputed
from benchmarks.peers import MAX_TREES, PATIENCE

TITLE = "CatBoost"
PACKAGE = "catboost"
ENDS_ITSELF = False


def draw(rng: np.random.Generator) -> Config:
    return {
        "iterations": MAX_TREES,
        "learning_rate": float(10 ** rng.uniform(-2, -0.5)),
        "depth": int(rng.integers(4, 9)),
        "l2_leaf_reg": float(10 ** rng.uniform(0, 1.5)),
        "random_strength": float(10 ** rng.uniform(-1, 1)),
        "one_hot_max_size": int(2 ** rng.uniform(1, 5)),
    }


def fit(train: Part, validation: Part, config: Config, allowed: Allowed) -> Predict:
    from catboost import CatBoostClassifier

    over = allowed.ends()

    class InTime:
        def after_iteration(self, info: Any) -> bool:
            return not over()

    model = CatBoostClassifier(
        cat_features=list(categories(train.frame)),
        thread_count=THREADS,
        random_seed=SEED,
        allow_writing_files=False,
        verbose=False,
        **config,
    )
    model.fit(
        imputed(train.frame, train.frame),
        train.target,
        eval_set=(imputed(validation.frame, train.frame), validation.target),
        early_stopping_rounds=PATIENCE,
        callbacks=[InTime()],
    )
    return lambda rows: np.asarray(model.predict_proba(imputed(rows.frame, train.frame)))
