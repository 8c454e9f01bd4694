"""Several networks become one that ships."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lockstep.bundle.scorer import Scorer
from lockstep.compression.convert import convert
from lockstep.models import saving
from lockstep.models.checkpoints import Epoch, State
from lockstep.models.ensemble import Ensemble, _bag, train_ensemble
from lockstep.models.network import inference
from lockstep.models.scoring import logits, probabilities
from lockstep.models.training import Schedule, Trained, one_hot
from tests.lockstep.models.test_models import DATA, ENCODER, NETWORK, RAW, SCHEDULE

SCHEDULE_OF_SIX = replace(SCHEDULE, epochs=6, patience=6)


class Memory:
    """Keeps states of members; asks for a stop after so many of them."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.states: dict[int, State] = {}
        self._left = stop_after

    def load(self, member: int = 0) -> State | None:
        return self.states.get(member)

    def save(self, state: State, member: int = 0) -> None:
        self.states[member] = state
        if self._left is not None:
            self._left -= 1
            if not self._left:
                raise KeyboardInterrupt


def trained(ensemble: Ensemble, memory: Memory | None = None, seen: list[Epoch] | None = None) -> Trained:
    return train_ensemble(
        NETWORK,
        SCHEDULE_OF_SIX,
        ensemble,
        DATA,
        DATA,
        memory or Memory(),
        (seen if seen is not None else []).append,
    )


def answers(result: Trained) -> np.ndarray:
    return logits(inference(result.model), DATA.features)


def of_members(memory: Memory, n_members: int) -> list[np.ndarray]:
    """Logits of the members that a training left."""
    found = []
    for member in range(n_members):
        single = saving.build(NETWORK)
        single.set_weights(memory.states[member].best)
        found.append(logits(inference(single), DATA.features))
    return found


@pytest.mark.parametrize(
    "targets", [one_hot(np.repeat([0, 1], [90, 10]), 2), one_hot(np.repeat([0, 1, 2], [50, 40, 10]), 3)]
)
def test_a_balanced_bag_has_as_many_rows_of_every_class(targets: np.ndarray) -> None:
    bags = [_bag(targets, (1, member), balanced=True) for member in (0, 0, 1)]
    classes = targets.argmax(axis=1) if targets.shape[1] > 1 else targets[:, 0].astype(int)
    assert set(np.bincount(classes[bags[0]])) == {10}
    assert (bags[0] == bags[1]).all()
    assert (bags[0] != bags[2]).any()
    plan = Schedule(epochs=2, batch_size=32, learning_rate=0.1, seed=1, min_steps=12)
    ensemble = Ensemble("balanced_bagging", 2, distilled=True)
    assert [one.epochs for one in ensemble.schedules(plan, targets)] == [12, 12, 3]


@pytest.mark.slow
def test_balanced_bagging_trains_on_its_bags_and_ships_as_one() -> None:
    rare = replace(DATA, weights=np.ones_like(DATA.weights)).take(
        np.flatnonzero((DATA.targets[:, 0] == 0) | (np.arange(len(DATA.targets)) % 10 == 0))
    )
    memory = Memory()
    ensemble = Ensemble("balanced_bagging", 2)
    whole = train_ensemble(NETWORK, SCHEDULE_OF_SIX, ensemble, rare, DATA, memory, lambda epoch: None)
    singles = of_members(memory, 2)
    np.testing.assert_allclose(answers(whole), np.mean(singles, axis=0), atol=1e-5)
    # Balanced classes make the rare one look likely, until calibration takes that back.
    mean = probabilities(logits(inference(whole.model), rare.features)).mean()
    assert mean > 1.5 * rare.targets.mean()


@pytest.mark.slow
def test_an_ensemble_answers_the_mean_of_its_members_and_ships_as_one_file() -> None:
    memory = Memory()
    whole = trained(Ensemble("bagging", 2), memory)
    assert whole.network.members == 2
    singles = of_members(memory, 2)
    np.testing.assert_allclose(answers(whole), np.mean(singles, axis=0), atol=1e-5)
    assert np.abs(singles[0] - singles[1]).max() > 0.1
    content = saving.to_bytes(whole.network, whole.model)
    network, model = saving.from_bytes(content)
    assert saving.to_bytes(network, model) == content
    shipped = convert(content, DATA.features.take(slice(100)))["float32"]
    np.testing.assert_allclose(
        Scorer(ENCODER, shipped).probability(RAW), probabilities(answers(whole))[:, 0], atol=1e-5
    )


def test_joint_members_learn_side_by_side_and_apart() -> None:
    memory = Memory()
    result = trained(Ensemble("joint", 2), memory)
    assert sorted(memory.states) == [0]
    assert len(result.curve) == len(memory.states[0].curve) <= 6
    kernels = [result.model.get_layer(f"member_{i}_hidden_0").get_weights()[0] for i in range(2)]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.1
    assert result.network.members == 2


@pytest.mark.slow
def test_snapshots_share_the_epochs_of_one_training() -> None:
    seen: list[Epoch] = []
    result = trained(Ensemble("snapshot", 3), seen=seen)
    assert [epoch.epoch for epoch in seen] == [1, 2, 3, 4, 5, 6]
    assert result.curve == tuple(seen)
    rates = [epoch.learning_rate for epoch in seen]
    assert rates[1] == rates[3] == rates[5] < rates[0]
    # Each cycle begins where the one before ended.
    assert seen[2].val_loss < seen[0].val_loss


@pytest.mark.slow
def test_a_distilled_ensemble_is_one_network_that_answers_nearly_alike() -> None:
    memory = Memory()
    student = trained(Ensemble("bagging", 3, distilled=True), memory)
    assert student.network == NETWORK
    assert sorted(memory.states) == [0, 1, 2, 3]
    teacher = probabilities(np.mean(of_members(memory, 3), axis=0))
    learned = probabilities(answers(student))
    assert np.abs(teacher - learned).mean() < 0.1


@pytest.mark.parametrize(
    "ensemble",
    [
        pytest.param(Ensemble("bagging", 2), marks=pytest.mark.faults),
        pytest.param(Ensemble("snapshot", 2), marks=pytest.mark.faults),
        pytest.param(Ensemble("joint", 2, distilled=True), marks=pytest.mark.faults),
    ],
)
def test_killed_in_a_later_member_it_ends_in_the_same_bytes(ensemble: Ensemble) -> None:
    seen: list[Epoch] = []
    undisturbed = trained(ensemble, seen=seen)
    expected = saving.to_bytes(undisturbed.network, undisturbed.model)
    # In the midst of the second training, where there are several.
    memory = Memory(len(seen) // 2 + 1)
    with pytest.raises(KeyboardInterrupt):
        trained(ensemble, memory)
    memory._left = None
    again: list[Epoch] = []
    resumed = trained(ensemble, memory, again)
    assert saving.to_bytes(resumed.network, resumed.model) == expected
    assert again == seen
