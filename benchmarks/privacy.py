"""What differential privacy costs: `python -m benchmarks.privacy [--noise X ...] [--epochs N] [--batch-size N]`.

Trains on the rows of the workspace, which `lockstep run` has left, with `train.normalization: layer`: once for each
noise multiplier (0: without privacy), all else as params.yaml has it. It prints epsilon, the figures on the test rows,
and what the attacks of `evaluate` find. Nothing of the workspace changes.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from lockstep.data.encoding import Encoder
from lockstep.data.features import Features
from lockstep.data.labels import labels_of
from lockstep.data.tables import raw_columns
from lockstep.evaluation.metrics import ranking
from lockstep.models import saving
from lockstep.models.network import inference
from lockstep.models.scoring import logits, probabilities
from tasks import evaluate, train
from tasks._fold import NoCheckpoint
from tasks._membership import attack_membership
from tasks._params import parse_params

_PARAMS = Path("params.yaml")


class Network:
    """A trained network as the attacks take a model."""

    def __init__(self, trained: train.Trained) -> None:
        self.encoder = Encoder.from_json(trained.encoder)
        self._call = inference(saving.from_bytes(trained.network)[1])

    def score(self, features: Features) -> npt.NDArray[np.float64]:
        found = probabilities(logits(self._call, features))
        return found if found.shape[1] > 1 else found[:, 0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.5, 1.0])
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--batch-size", type=int)
    options = parser.parse_args()
    document = yaml.safe_load(_PARAMS.read_text(encoding="utf-8"))
    stage = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"]["evaluate"]
    read = evaluate.read_inputs(evaluate.arguments_of(stage["cmd"].split()[3:]))
    changes = {"epochs": options.epochs, "batch_size": options.batch_size}
    document["train"].update({name: value for name, value in changes.items() if value})
    print(
        "| noise | epsilon | average precision | ROC AUC | Brier | found at 0.1 % | AUC of the attack | CPU s |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for noise in options.noise:
        print(_row(noise, document, read), flush=True)


def _row(noise: float, document: dict[str, Any], read: evaluate.Inputs) -> str:
    document["train"].update(normalization="layer", dp_noise_multiplier=noise)
    params = parse_params(train.TrainParams, document, str(_PARAMS))
    started = time.process_time()
    # No secret: nothing is released.
    trained = train.run(read.trained_on, read.validation, params, NoCheckpoint(), secret=1)
    seconds = time.process_time() - started
    network: Any = Network(trained)
    names = [column.name for column in network.encoder.inputs]
    codes = labels_of(read.test, params.target, params.positive, network.encoder.classes).codes
    figures = ranking(codes, network.score(network.encoder.encode(raw_columns(read.test, names))))
    attacked = attack_membership(
        network, read.trained_on, read.validation, read.test, read.public, read.params, {}
    ).report["membership"]
    attack = attacked["attacks"][attacked["judged"]]
    promise = trained.report["differential_privacy"]
    cells = [
        f"{noise:g}",
        f"{promise['epsilon']:.2f}" if promise else "none",
        f"{figures['average_precision']:.4f}",
        f"{figures['roc_auc']:.4f}",
        f"{figures['brier']:.4f}",
        f"{attack['true_positive_rate']:.2%}",
        f"{attack['roc_auc']:.4f}",
        f"{seconds:.0f}",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
