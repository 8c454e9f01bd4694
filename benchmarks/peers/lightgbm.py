"""LightGBM (Ke et al. 2017)."""

from __future__ import annotations

import numpy as np

from benchmarks._search import THREADS, Allowed, Config, Predict
from benchmarks._tables import SEED, Part
from benchmarks.peers import MAX_TREES, PATIENCE

TITLE = "LightGBM"
PACKAGE = "lightgbm"
ENDS_ITSELF = False


def draw(rng: np.random.Generator) -> Config:
    return {
        "learning_rate": float(10 ** rng.uniform(-2, -0.7)),
        "num_leaves": int(2 ** rng.uniform(2, 8)),
        "min_child_samples": int(2 ** rng.uniform(1, 7)),
        "subsample": float(rng.uniform(0.5, 1)),
        "subsample_freq": 1,
        "colsample_bytree": float(rng.uniform(0.4, 1)),
        "reg_lambda": float(10 ** rng.uniform(-3, 1.5)),
        "cat_smooth": float(10 ** rng.uniform(0, 2)),
    }


def fit(train: Part, validation: Part, config: Config, allowed: Allowed) -> Predict:
    from lightgbm import LGBMClassifier, early_stopping
    from lightgbm.callback import CallbackEnv, EarlyStopException

    over = allowed.ends()

    def in_time(env: CallbackEnv) -> None:
        if over():
            raise EarlyStopException(env.iteration, env.evaluation_result_list)

    model = LGBMClassifier(
        n_estimators=MAX_TREES, n_jobs=THREADS, random_state=SEED, verbose=-1, deterministic=True, **config
    )
    model.fit(
        train.frame,
        train.target,
        eval_X=validation.frame,
        eval_y=validation.target,
        callbacks=[early_stopping(PATIENCE, verbose=False), in_time],
    )
    return lambda rows: np.asarray(model.predict_proba(rows.frame))
