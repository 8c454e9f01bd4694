"""Adversarial training moves encoded rows as FGSM moves raw ones, and makes a network harder to fool."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from lockstep.data.encoding import Encoder
from lockstep.data.features import Features
from lockstep.data.plausible import Plausible
from lockstep.data.tables import raw_columns
from lockstep.errors import ModelError
from lockstep.evaluation.robustness.fgsm import fgsm
from lockstep.evaluation.robustness.pgd import pgd
from lockstep.evaluation.robustness.surface import Surface
from lockstep.models import saving
from lockstep.models.adversary import Adversary
from lockstep.models.checkpoints import State
from lockstep.models.determinism import layer_seeds, make_deterministic
from lockstep.models.differential_privacy import Privacy
from lockstep.models.moved_rows import POSITIONS, Moves
from lockstep.models.network import Network, build, build_for_training
from lockstep.models.scoring import average_precision, network_inputs
from lockstep.models.side_by_side import separate
from lockstep.models.slopes import Slopes
from lockstep.models.training import Data, Schedule, one_hot, train
from tests.lockstep.evaluation.robustness.test_attacks import FEATURES, PLAUSIBLE, RAW, SHIFT, SIZE

STRENGTH = 0.3
SCHEDULE = Schedule(epochs=1, batch_size=256, learning_rate=0.01, seed=3)


@pytest.mark.parametrize(
    ("n_classes", "members", "transform"), [(2, 2, None), (3, 1, None), (2, 1, SHIFT)], ids=str
)
def test_encoded_rows_are_moved_as_raw_ones_are(n_classes: int, members: int, transform: Any) -> None:
    table = RAW if transform else {name: RAW[name] for name in FEATURES}
    encoder = Encoder.fit(table, bins=8, min_value_rows=3, decorrelation=transform)
    network = Network(
        encoder.n_codes,
        encoder.n_coded,
        encoder.numeric_width,
        hidden=(12,),
        n_outputs=n_classes if n_classes > 2 else 1,
        members=members,
    )
    make_deterministic(4)
    model = build_for_training(network, "float32", layer_seeds(4), synchronized=False)
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    final = build(network)
    values = separate({weight.path: weight.numpy() for weight in model.weights}, members)
    for weight in final.weights:
        weight.assign(values[weight.path])
    codes = np.random.default_rng(5).integers(n_classes, size=SIZE)
    surface = Surface(encoder, Slopes(saving.to_bytes(network, final), seed=1), RAW, codes, PLAUSIBLE)
    expected = encoder.encode(surface.table(fgsm(surface, STRENGTH)))
    moves = Moves.of_rows(encoder, PLAUSIBLE, STRENGTH, table, seed=2)
    assert moves is not None
    before = encoder.encode(table)
    targets, weights = one_hot(codes, n_classes), np.arange(SIZE, dtype=np.float32)
    inputs, positions = tf.nest.map_structure(tf.constant, (network_inputs(before), moves.positions))
    moved = moves.moved(model, inputs, positions, tf.constant(targets), 0.0)
    for name in ("numeric", "codes"):
        apart = np.abs(moved[name].numpy() - getattr(expected, name)) > 1e-5
        # What an encoder shifts is bounded by its bins, and not by the number before the shift.
        assert apart.mean() < (0.01 if transform else 1e-9)
        is_moved = np.abs(moved[name].numpy() - getattr(before, name)) > 1e-4
        assert is_moved.any() or (name == "codes" and transform)
    batch = {**inputs, POSITIONS: positions}, (targets, codes), weights
    both, (wanted, groups), counted = moves.beside(model, tf.nest.map_structure(tf.constant, batch))
    for part, whole in ((targets, wanted), (codes, groups), (weights, counted)):
        np.testing.assert_array_equal(np.concatenate([part, part]), whole)
    slopes = Slopes(saving.to_bytes(network, final), seed=1)
    first, second = (
        Features(*(both[name][rows].numpy() for name in ("numeric", "codes")))
        for rows in (slice(None, SIZE), slice(SIZE, None))
    )
    np.testing.assert_array_equal(first.numeric, before.numeric)
    np.testing.assert_array_equal(first.codes, before.codes)
    assert slopes.loss(second, codes).mean() > slopes.loss(first, codes).mean()


def test_bins_that_float32_does_not_tell_apart_hold_numbers_too() -> None:
    far = np.random.default_rng(9).uniform(0, 100, SIZE)
    far[0] = -1e9
    encoder, plausible = Encoder.fit({"far": far}, 8, SIZE), Plausible.fit(pa.table({"far": far}), ["far"])
    moves = Moves.of_rows(encoder, plausible, STRENGTH, {"far": far}, 1)
    assert moves is not None
    assert (moves.lows == moves.highs).any()
    network = Network(encoder.n_codes, encoder.n_coded, encoder.numeric_width, hidden=(4,))
    model = build_for_training(network, "float32", layer_seeds(1), synchronized=False)
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    inputs = {**network_inputs(encoder.encode({"far": far})), POSITIONS: moves.positions}
    batch = inputs, one_hot(far > 50, 2), np.ones(SIZE, dtype=np.float32)
    both, _, _ = moves.beside(model, tf.nest.map_structure(tf.constant, batch))
    assert np.isfinite(both["numeric"].numpy()).all()


def test_without_amounts_nothing_is_moved() -> None:
    jobs = {"job": RAW["job"]}
    assert Moves.of_rows(Encoder.fit(jobs, 4, 5), PLAUSIBLE, STRENGTH, jobs, seed=2) is None


def brittle(n_rows: int, seed: int) -> pa.Table:
    """One column that is mostly right by a wide margin, and many that are right together by a narrow one.

    D. Tsipras et al. (2019), "Robustness May Be at Odds with Accuracy", arXiv:1805.12152, section 2.1.
    """
    rng = np.random.default_rng(seed)
    side = rng.choice([-1.0, 1.0], n_rows)
    wide = side * np.where(rng.random(n_rows) < 0.85, 1.0, -1.0) + rng.normal(0, 0.2, n_rows)
    narrow = {f"narrow_{i}": 0.45 * side + rng.normal(size=n_rows) for i in range(16)}
    return pa.table({"wide": wide, **narrow, "y": side > 0})


class Brittle:
    names = [name for name in brittle(1, 0).column_names if name != "y"]

    def __init__(self, n_rows: int) -> None:
        self.rows, self.held_out = brittle(n_rows, 1), brittle(1500, 2)
        self.plausible = Plausible.fit(self.rows, self.names)
        self.encoder = Encoder.fit(raw_columns(self.rows, self.names), 8, n_rows)
        sizes = self.encoder.n_codes, self.encoder.n_coded, self.encoder.numeric_width
        self.network = Network(*sizes, hidden=(32,), normalization="none", members=2)

    def data(self, rows: pa.Table, strength: float = 0.0) -> Data:
        table = raw_columns(rows, self.names)
        labels = np.asarray(rows["y"].to_numpy(zero_copy_only=False), dtype=np.int64)
        moves = Moves.of_rows(self.encoder, self.plausible, strength, table, 2) if strength else None
        ones = np.ones(len(labels), dtype=np.float32)
        return Data(self.encoder.encode(table), one_hot(labels, 2), ones, moves=moves)

    def trained(self, data: Data, epochs: int, start: State | None = None, **changes: Any) -> bytes:
        schedule = replace(SCHEDULE, epochs=epochs, patience=epochs, **changes)
        self.seen: list[State] = []
        found = train(self.network, schedule, data, self.data(self.held_out), self.seen.append, start)
        return saving.to_bytes(self.network, found.model)

    def fooled(self, content: bytes) -> list[float]:
        """Average precision on rows as they are, and moved against the network in one step and in many."""
        data, table = self.data(self.held_out), raw_columns(self.held_out, self.names)
        codes = data.targets[:, 0].astype(np.int64)
        surface = Surface(self.encoder, Slopes(content, seed=1), table, codes, self.plausible)
        _, model = saving.from_bytes(content)
        moved = surface.start, fgsm(surface, STRENGTH), pgd(surface, STRENGTH, np.random.default_rng(1))
        answers = [
            model(network_inputs(self.encoder.encode(surface.table(values)))).numpy() for values in moved
        ]
        return [average_precision(data.targets, logits.astype(np.float64)) for logits in answers]


@pytest.mark.slow
def test_a_network_that_met_moved_rows_is_harder_to_fool() -> None:
    made = Brittle(3000)
    plain, hard = (
        made.fooled(made.trained(made.data(made.rows, strength), epochs=10)) for strength in (0.0, STRENGTH)
    )
    assert hard[0] > plain[0] - 0.01
    for attacked in (1, 2):
        assert plain[0] - plain[attacked] > 0.15
        assert hard[0] - hard[attacked] < 0.75 * (plain[0] - plain[attacked])


@pytest.mark.slow
def test_with_an_adversary_weights_and_float16_it_ends_in_the_same_bytes_also_when_it_goes_on() -> None:
    made = Brittle(600)
    rng = np.random.default_rng(8)
    weights, groups = rng.random(600).astype(np.float32), rng.integers(2, size=600).astype(np.int32)
    data = replace(made.data(made.rows, STRENGTH), weights=weights, groups=groups)
    part = data.take(rng.permutation(600)[:400])
    switches: dict[str, Any] = {"adversary": Adversary(2, 0.5, True), "precision": "float16"}
    content = made.trained(part, 2, **switches)
    first, _ = made.seen
    assert made.trained(part, 2, first, **switches) == content
    assert len(made.seen) == 1


def test_privacy_is_refused() -> None:
    made = Brittle(600)
    with pytest.raises(ModelError, match="takes each row once"):
        made.trained(made.data(made.rows, STRENGTH), 1, privacy=Privacy(1.0, 1.0, 5))
