"""TabM (Gorishniy et al. 2025) of pytabkit."""

from __future__ import annotations

import numpy as np

from benchmarks._search import Allowed, Config, Predict
from benchmarks._tables import Part
from benchmarks.peers import _pytabkit

TITLE = "TabM"
PACKAGE = "pytabkit"
ENDS_ITSELF = False

_EPOCHS = 1000
"""It ends by its own patience before."""


def draw(rng: np.random.Generator) -> Config:
    return {
        "arch_type": ["tabm", "tabm-mini"][rng.integers(2)],
        "tabm_k": [8, 16, 32][rng.integers(3)],
        "num_emb_type": ["none", "pwl"][rng.integers(2)],
        "num_emb_n_bins": int(rng.integers(8, 65)),
        "d_block": [64, 128, 256, 512][rng.integers(4)],
        "n_blocks": int(rng.integers(1, 4)),
        "dropout": [0.0, 0.1, 0.2, 0.4][rng.integers(4)],
        "lr": float(10 ** rng.uniform(-3.5, -2.3)),
        "weight_decay": [0.0, float(10 ** rng.uniform(-4, -1))][rng.integers(2)],
        "batch_size": [256, 1024][rng.integers(2)],
    }


def fit(train: Part, validation: Part, config: Config, allowed: Allowed) -> Predict:
    from pytabkit import TabM_D_Classifier

    return _pytabkit.fit(TabM_D_Classifier, train, validation, config, allowed, _EPOCHS)
