"""What a table of few rows makes of the default network."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from lockstep.models.ensemble import Ensemble
from lockstep.models.few_rows import fitted
from lockstep.models.network import Network, inference
from lockstep.models.scoring import logits, probabilities
from lockstep.models.training import Schedule
from tests.lockstep.models.test_any_table import PARAMS, learn

NETWORK = Network(
    n_codes=9, n_coded=2, numeric_width=3, hidden=(256, 256), embedding_dropout=0.2, dropout=0.3
)
SCHEDULE = Schedule(epochs=14, batch_size=1024, learning_rate=0.003, seed=1, weight_decay=0.1)
PLAN = NETWORK, SCHEDULE, Ensemble("joint", 2)


def test_a_thousand_rows_have_eight_narrow_members_that_are_regularised_more() -> None:
    network, schedule, ensemble = fitted(*PLAN, 1000, 100_000)
    assert (network.hidden, ensemble.members) == ((64, 64), 8)
    assert (network.dropout, network.embedding_dropout) == pytest.approx((0.51, 0.36))
    assert (schedule.weight_decay, schedule.learning_rate) == pytest.approx((0.5, 0.0015))
    assert fitted(*PLAN, 10, 100_000) == (network, schedule, ensemble)


@given(n_rows=st.integers(1, 10_000_000), ample_rows=st.integers(0, 1_000_000))
def test_property_fewer_rows_are_regularised_more_and_enough_rows_change_nothing(
    n_rows: int, ample_rows: int
) -> None:
    found, of_more = (fitted(*PLAN, n, ample_rows) for n in (n_rows, n_rows + 1))
    assert (found == PLAN) or n_rows < ample_rows
    assert of_more[0].dropout <= found[0].dropout < 1
    assert of_more[0].embedding_dropout <= found[0].embedding_dropout < 1
    assert of_more[1].weight_decay <= found[1].weight_decay
    assert of_more[2].members <= found[2].members
    assert sum(found[0].hidden) * found[2].members >= sum(NETWORK.hidden) * PLAN[2].members


def test_what_is_off_stays_off() -> None:
    plain = replace(NETWORK, dropout=0.0, embedding_dropout=0.0), replace(SCHEDULE, weight_decay=0.0)
    network, schedule, ensemble = fitted(*plain, Ensemble(), 100, 100_000)
    assert (network, ensemble) == (plain[0], Ensemble())
    assert schedule.weight_decay == 0.0


@pytest.mark.slow
def test_probabilities_of_few_rows_are_better() -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(1200, 12))
    score = x[:, :6].sum(axis=1) + x[:, 6] * x[:, 7]
    y = (score + rng.normal(0, 2, 1200) > 0).astype(int)
    raw = {f"x{i}": x[:, i] for i in range(12)}
    losses = []
    for ample_rows in (0, PARAMS.ample_rows):
        params = PARAMS.model_copy(update={"ample_rows": ample_rows})
        encoder, trained, _, rows, truth = learn(raw, y, 2, params)
        answers = logits(inference(trained.model), encoder.encode(rows))
        losses.append(log_loss(truth, probabilities(answers)[:, 0]))
    assert losses[1] < losses[0]
