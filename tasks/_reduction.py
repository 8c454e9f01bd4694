"""Training once a point of fairlearn's grid, for `train`: the best network ships."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.fairness.grid import search
from lockstep.fairness.methods import Constraint
from lockstep.models.checkpoints import Checkpoint, Epoch, State
from lockstep.models.ensemble import Ensemble
from lockstep.models.network import inference
from lockstep.models.scoring import logits, probabilities
from lockstep.models.training import Data, Trained

TrainOnce = Callable[[Data, Checkpoint, Callable[[Epoch], None]], Trained]


class _OfPoint:
    """The checkpoint of one point's trainings among those of all."""

    def __init__(self, checkpoint: Checkpoint, first: int) -> None:
        self._checkpoint = checkpoint
        self._first = first

    def load(self, member: int = 0) -> State | None:
        return self._checkpoint.load(self._first + member)

    def save(self, state: State, member: int = 0) -> None:
        self._checkpoint.save(state, self._first + member)


def reduced(
    data: Data,
    labels: npt.NDArray[np.bool_],
    groups: npt.NDArray[np.object_],
    constraint: Constraint,
    size: int,
    ensemble: Ensemble,
    checkpoint: Checkpoint,
    on_epoch: Callable[[Epoch], None],
    train_once: TrainOnce,
) -> Trained:
    """The network of the best point.

    Parameters
    ----------
    data, labels, groups
        The training rows. A row of no group (None) keeps its label and weight at each point, and no gap between groups
        counts it.
    train_once
        Trains on rows with labels and weights of their own.
    """
    found: list[Trained] = []
    some = groups != np.array(None)

    def train(number: int, wanted: npt.NDArray[np.int_], weights: npt.NDArray[np.float64]) -> Any:
        done = sum(len(trained.curve) for trained in found)
        targets, factors = labels.astype(np.float32), np.ones(len(labels))
        targets[some], factors[some] = wanted, weights
        together = (factors * data.weights).astype(np.float32)
        part = replace(data, targets=targets[:, None], weights=together / together.mean())
        found.append(
            train_once(
                part,
                _OfPoint(checkpoint, number * ensemble.trainings),
                lambda epoch: on_epoch(replace(epoch, epoch=done + epoch.epoch)),
            )
        )
        answers = logits(inference(found[-1].model), data.features)
        return probabilities(answers)[some, 0] >= 0.5

    return found[search(labels[some], groups[some], constraint, size, train)]
