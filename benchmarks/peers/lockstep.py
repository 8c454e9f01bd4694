"""Lockstep's default network, trained by the stage `train` with the values of params.yaml."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml

from benchmarks._search import Allowed, Config, OutOfTime, Predict
from benchmarks._tables import Part
from lockstep.data.columns import WEIGHT
from lockstep.data.encoding import Encoder
from lockstep.data.tables import raw_columns
from lockstep.models.checkpoints import Epoch, State

TITLE = "Lockstep"
PACKAGE = "keras"
ENDS_ITSELF = True

_PARAMS = Path(__file__).resolve().parents[2] / "params.yaml"
_TARGET = "benchmark:target"


def draw(rng: np.random.Generator) -> Config:
    """Values of the section `train`."""
    return {
        "learning_rate": float(10 ** rng.uniform(-3.2, -2.2)),
        "weight_decay": float(10 ** rng.uniform(-3, -0.7)),
        "dropout": float(rng.uniform(0.1, 0.5)),
        "embedding_dropout": float(rng.uniform(0, 0.5)),
        "hidden": [[128, 128], [256, 256], [384, 384], [512]][rng.integers(4)],
        "bins": [8, 16, 24, 48][rng.integers(4)],
        "batch_size": [256, 512, 1024][rng.integers(3)],
    }


class _Forgotten:
    """A checkpoint that keeps nothing."""

    def load(self, member: int = 0) -> State | None:
        return None

    def save(self, state: State, member: int = 0) -> None:
        pass


def fit(train: Part, validation: Part, config: Config, allowed: Allowed) -> Predict:
    from lockstep.models import saving
    from lockstep.models.network import inference
    from lockstep.models.scoring import logits
    from tasks._params import parse_params
    from tasks.train import TrainParams, run

    document = yaml.safe_load(_PARAMS.read_text(encoding="utf-8"))
    document["data"].update(target=_TARGET, positive="1")
    document["train"].update(config)
    params = parse_params(TrainParams, document, str(_PARAMS))
    over = allowed.ends()

    def in_time(epoch: Epoch) -> None:
        if over():
            raise OutOfTime

    trained = run(_table(train), _table(validation), params, _Forgotten(), in_time)
    encoder = Encoder.from_json(trained.encoder)
    call = inference(saving.from_bytes(trained.network)[1])

    def predict(rows: Part) -> np.ndarray:
        features = encoder.encode(raw_columns(_table(rows), list(rows.frame.columns)))
        positive = 1 / (1 + np.exp(-logits(call, features)[:, 0]))
        return np.column_stack((1 - positive, positive))

    return predict


def _table(part: Part) -> pa.Table:
    table = pa.Table.from_pandas(part.frame, preserve_index=False)
    table = table.append_column(_TARGET, pa.array(part.target.astype(str)))
    return table.append_column(WEIGHT, pa.array(np.ones(len(part.target), dtype=np.float32)))
