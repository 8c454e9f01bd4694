"""One network, or several whose logits are averaged: served whole, or distilled into one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lockstep.models.checkpoints import Checkpoint, Epoch, State, values_of
from lockstep.models.network import Network, build, inference
from lockstep.models.scoring import logits, probabilities
from lockstep.models.training import Data, Schedule, Trained, classes_of, train

Method = Literal["none", "joint", "bagging", "balanced_bagging", "snapshot"]
OnEpoch = Callable[[Epoch], None]


@dataclass(frozen=True)
class Ensemble:
    """How many networks are trained, and what becomes of them.

    Attributes
    ----------
    method
        ``none``: one network. ``joint``: side by side in one training, apart in their initial weights and their dropout
        (Lakshminarayanan et al. 2017, arXiv:1612.01474). ``bagging``: each on rows drawn with replacement (Breiman
        1996). ``balanced_bagging``: each on as many rows of every class as the smallest has (Chen et al. 2004,
        "Using Random Forest to Learn Imbalanced Data"). ``snapshot``: one training in as many cycles of the learning
        rate, of which each begins where the one before ended (Huang et al. 2017, arXiv:1704.00109); it takes no longer
        than one network.
    members
        Networks, where the method is not ``none``.
    distilled
        Whether one network learns the ensemble's probabilities (Hinton et al. 2015, arXiv:1503.02531) and ships in
        its place.
    """

    method: Method = "none"
    members: int = 1
    distilled: bool = False

    @property
    def trainings(self) -> int:
        """How many networks are trained."""
        if self.method == "none":
            return 1
        return (1 if self.method == "joint" else self.members) + self.distilled

    def schedule_of(self, member: int, schedule: Schedule, n_rows: int) -> Schedule:
        """Schedule of one of `trainings`, for `n_rows` rows."""
        resolved = replace(schedule.resolved(n_rows), seed=schedule.seed + member)
        if self.method != "snapshot" or self._is_student(member):
            return resolved
        # A cycle is short, and its end is its best.
        epochs = -(-resolved.epochs // self.members)
        return replace(resolved, epochs=epochs, patience=epochs)

    def schedules(self, schedule: Schedule, targets: npt.NDArray[np.float32]) -> list[Schedule]:
        """Schedule of each of `trainings`, for rows of these `targets`."""
        balanced = self.method == "balanced_bagging"
        n_bag = len(_bag(targets, (schedule.seed, 0), balanced=True)) if balanced else len(targets)
        return [
            self.schedule_of(member, schedule, len(targets) if self._is_student(member) else n_bag)
            for member in range(self.trainings)
        ]

    def _is_student(self, member: int) -> bool:
        return self.distilled and member == self.trainings - 1


def train_ensemble(
    network: Network,
    schedule: Schedule,
    ensemble: Ensemble,
    data: Data,
    validation: Data,
    checkpoint: Checkpoint,
    on_epoch: OnEpoch,
) -> Trained:
    """Train `network`, or an ensemble of such.

    Parameters
    ----------
    checkpoint
        Tells each training the state to go on from, and keeps that after each epoch.
    on_epoch
        Called after each epoch, also with those of a training that ended before this process began.

    Returns
    -------
    Trained
        The network that ships. Its curve is that of all trainings, one after the other; the best epoch is that
        of the last of them.
    """
    members: list[Trained] = []
    curve: list[Epoch] = []

    def one(network: Network, member: int, data: Data, **options: Any) -> Trained:
        done = len(curve)

        def after_epoch(state: State) -> None:
            checkpoint.save(state, member)
            on_epoch(replace(state.curve[-1], epoch=done + len(state.curve)))

        start = checkpoint.load(member)
        for epoch in start.curve if start else ():
            on_epoch(replace(epoch, epoch=done + epoch.epoch))
        plan = ensemble.schedule_of(member, schedule, len(data.targets))
        trained = train(network, plan, data, validation, after_epoch, start, **options)
        curve.extend(replace(epoch, epoch=done + epoch.epoch) for epoch in trained.curve)
        return replace(trained, curve=tuple(curve), best_epoch=done + trained.best_epoch)

    if ensemble.method == "none":
        return one(network, 0, data)
    if ensemble.method == "joint":
        whole = one(replace(network, members=ensemble.members), 0, data)
    else:
        for member in range(ensemble.members):
            if ensemble.method in ("bagging", "balanced_bagging"):
                balanced = ensemble.method == "balanced_bagging"
                bag = _bag(data.targets, (schedule.seed, member), balanced=balanced)
                members.append(one(network, member, data.take(bag)))
            else:
                initial = values_of(members[-1].model.weights) if members else None
                members.append(one(network, member, data, initial=initial))
        whole = _joined(network, members)
    if not ensemble.distilled:
        return whole
    soft = probabilities(logits(inference(whole.model), data.features)).astype(np.float32)
    return one(network, ensemble.trainings - 1, replace(data, targets=soft))


def _bag(targets: npt.NDArray[np.float32], seed: tuple[int, int], *, balanced: bool) -> npt.NDArray[np.int64]:
    """Rows drawn with replacement: as many as there are, or of each class as many as the smallest has."""
    rng, n_rows = np.random.default_rng(seed), len(targets)
    if not balanced:
        return rng.integers(n_rows, size=n_rows)
    classes = classes_of(targets)
    counts = np.bincount(classes)
    smallest = counts[counts > 0].min()
    return np.concatenate(
        [rng.choice(np.flatnonzero(classes == code), smallest) for code in np.flatnonzero(counts)]
    )


def _joined(network: Network, members: list[Trained]) -> Trained:
    joined = replace(network, members=len(members))
    model = build(joined)
    for i, member in enumerate(members):
        for layer in member.model.layers:
            if layer.weights:
                model.get_layer(f"member_{i}_{layer.name}").set_weights(layer.get_weights())
    return Trained(joined, model, members[-1].curve, members[-1].best_epoch)
