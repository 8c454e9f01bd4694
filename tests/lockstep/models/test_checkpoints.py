"""Training that goes on from a checkpoint ends where undisturbed training does; training that diverges says where."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lockstep.errors import ModelError
from lockstep.models import saving
from lockstep.models.checkpoints import State, from_bytes, to_bytes
from lockstep.models.training import Data, Schedule, Trained, train
from tests.lockstep.models.test_models import DATA, NETWORK, SCHEDULE


class Killed(Exception):
    pass


def killed_after(epochs: int, schedule: Schedule, validation: Data, start: State | None = None) -> State:
    """State, by way of its bytes, that training leaves when it is killed after `epochs`."""
    left: list[bytes] = []

    def after_epoch(state: State) -> None:
        left.append(to_bytes(state))
        if len(state.curve) == epochs:
            raise Killed

    with pytest.raises(Killed):
        train(NETWORK, schedule, DATA, validation, after_epoch, start)
    return from_bytes(left[-1])


def result(trained: Trained) -> tuple[object, ...]:
    return saving.to_bytes(NETWORK, trained.model), trained.curve, trained.best_epoch


@pytest.mark.faults
def test_training_killed_after_each_epoch_ends_in_the_same_bytes() -> None:
    hopeless = Data(DATA.features, np.random.default_rng(1).permutation(DATA.targets), DATA.weights)
    schedule = replace(SCHEDULE, epochs=9, patience=1)
    undisturbed = train(NETWORK, schedule, DATA, hopeless, lambda state: None)
    assert len(undisturbed.curve) == undisturbed.best_epoch + 1 < 9
    state: State | None = None
    for epoch in range(1, len(undisturbed.curve) + 1):
        state = killed_after(epoch, schedule, hopeless, state)
    # The last kill hit when training had just stopped early: nothing is left to train.
    resumed = train(NETWORK, schedule, DATA, hopeless, pytest.fail, state)
    assert result(resumed) == result(undisturbed)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04K\x01."])
def test_what_is_no_checkpoint_is_refused(content: bytes) -> None:
    with pytest.raises(ModelError, match="no checkpoint of this release"):
        from_bytes(content)


def test_a_network_is_no_checkpoint() -> None:
    trained = train(NETWORK, replace(SCHEDULE, epochs=1), DATA, DATA, lambda state: None)
    with pytest.raises(ModelError, match="no checkpoint of this release"):
        from_bytes(saving.to_bytes(NETWORK, trained.model))


def test_a_learning_rate_too_high_is_named_with_step_epoch_and_layer() -> None:
    schedule = replace(SCHEDULE, learning_rate=1e30, warmup_share=0.0)
    words = (
        r"diverged in step 2 of 19 of epoch 1: its loss is not finite\. First not finite: the output of layer "
        r"'hidden_0'\. Lower train\.learning_rate"
    )
    with pytest.raises(ModelError, match=words):
        train(NETWORK, schedule, DATA, DATA, lambda state: None)


def test_rows_that_are_not_finite_are_counted() -> None:
    weights = DATA.weights.copy()
    weights[[5, 77, 300]] = np.inf
    rows = r"in step \d+ of 19 of epoch 1: its loss is not finite\. Of the step's 32 rows [123] hold"
    with pytest.raises(ModelError, match=rows):
        train(NETWORK, SCHEDULE, Data(DATA.features, DATA.targets, weights), DATA, lambda state: None)


def test_divergence_in_the_last_step_shows_on_validation() -> None:
    one_step = DATA.take(np.arange(32))
    schedule = replace(SCHEDULE, learning_rate=1e38, warmup_share=0.0)
    words = r"after epoch 1: a logit of a validation row is not finite. First not finite: the output of layer '\w+'"
    with pytest.raises(ModelError, match=words):
        train(NETWORK, schedule, one_step, DATA, lambda state: None)
