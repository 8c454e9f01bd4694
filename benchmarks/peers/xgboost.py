"""XGBoost (Chen & Guestrin 2016)."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks._search import THREADS, Allowed, Config, Predict
from benchmarks._tables import SEED, Part
from benchmarks.peers import MAX_TREES, PATIENCE

TITLE = "XGBoost"
PACKAGE = "xgboost-cpu"
ENDS_ITSELF = False


def draw(rng: np.random.Generator) -> Config:
    return {
        "learning_rate": float(10 ** rng.uniform(-2, -0.5)),
        "max_depth": int(rng.integers(3, 11)),
        "min_child_weight": float(10 ** rng.uniform(-1, 2)),
        "subsample": float(rng.uniform(0.5, 1)),
        "colsample_bytree": float(rng.uniform(0.4, 1)),
        "reg_lambda": float(10 ** rng.uniform(-2, 1.5)),
        "max_cat_to_onehot": int(2 ** rng.uniform(0, 6)),
    }


def fit(train: Part, validation: Part, config: Config, allowed: Allowed) -> Predict:
    from xgboost import XGBClassifier
    from xgboost.callback import TrainingCallback

    over = allowed.ends()

    class InTime(TrainingCallback):
        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            return over()

    model = XGBClassifier(
        n_estimators=MAX_TREES,
        early_stopping_rounds=PATIENCE,
        eval_metric="mlogloss" if train.target.max() > 1 else "logloss",
        enable_categorical=True,
        n_jobs=THREADS,
        random_state=SEED,
        callbacks=[InTime()],
        **config,
    )
    model.fit(train.frame, train.target, eval_set=[(validation.frame, validation.target)], verbose=False)
    return lambda rows: np.asarray(model.predict_proba(rows.frame), dtype=np.float64)
