"""RealMLP (Holzmüller et al. 2024) of pytabkit."""

from __future__ import annotations

import numpy as np

from benchmarks._search import Allowed, Config, Predict
from benchmarks._tables import Part
from benchmarks.peers import _pytabkit

TITLE = "RealMLP"
PACKAGE = "pytabkit"
ENDS_ITSELF = False

_EPOCHS = 256


def draw(rng: np.random.Generator) -> Config:
    return {
        "hidden_sizes": [[256] * 3, [64] * 5, [512]][rng.integers(3)],
        "num_emb_type": ["none", "pbld", "pl", "plr"][rng.integers(4)],
        "p_drop": [0.0, 0.15, 0.3][rng.integers(3)],
        "wd": [0.0, 0.02][rng.integers(2)],
        "lr": float(10 ** rng.uniform(-1.7, -0.5)),
        "plr_sigma": float(10 ** rng.uniform(-1.3, -0.3)),
        "add_front_scale": bool(rng.integers(2)),
        "batch_size": [256, 1024][rng.integers(2)],
    }


def fit(train: Part, validation: Part, config: Config, allowed: Allowed) -> Predict:
    from pytabkit import RealMLP_TD_Classifier

    # Smoothed labels serve accuracy; probabilities are judged here.
    return _pytabkit.fit(
        RealMLP_TD_Classifier, train, validation, {"use_ls": False, **config}, allowed, _EPOCHS
    )
