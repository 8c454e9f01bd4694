"""Logistic regression of scikit-learn on one-hot categories and standardised numbers."""

from __future__ import annotations

import numpy as np

from benchmarks._search import Allowed, Config, Predict
from benchmarks._tables import Part, categories, imputed

TITLE = "logistic regression"
PACKAGE = "scikit-learn"
ENDS_ITSELF = False


def draw(rng: np.random.Generator) -> Config:
    return {"C": float(10 ** rng.uniform(-3, 2)), "splines": bool(rng.integers(2))}


def fit(train: Part, validation: Part, config: Config, allowed: Allowed) -> Predict:
    from sklearn.compose import make_column_transformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, SplineTransformer, StandardScaler

    names = list(categories(train.frame))
    numbers = [name for name in train.frame.columns if name not in names]
    curves = [SplineTransformer(knots="quantile")] if config.get("splines") else []
    model = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=5), names),
            (make_pipeline(*curves, StandardScaler()), numbers),
        ),
        LogisticRegression(C=config.get("C", 1.0), max_iter=1000),
    )
    model.fit(imputed(train.frame, train.frame), train.target)
    return lambda rows: np.asarray(model.predict_proba(imputed(rows.frame, train.frame)))
