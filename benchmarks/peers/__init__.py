"""The learners of the model comparison, one a module; each is a `benchmarks._search.Learner`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

LEARNERS = (
    "lockstep",
    "lightgbm",
    "xgboost",
    "catboost",
    "hist_gradient_boosting",
    "logistic_regression",
    "realmlp",
    "tabm",
)
"""Their modules, Lockstep's own first."""

MAX_TREES = 5000
PATIENCE = 100
"""Rounds of boosting without a better validation log loss before a learner stops."""


def learner(name: str) -> Any:
    """The module of the learner `name`; it imports the learner's library only when it fits."""
    return import_module(f"{__name__}.{name}")
