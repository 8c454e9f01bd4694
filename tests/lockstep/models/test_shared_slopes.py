"""A column's bins share a slope in training, and the network that ships answers the same without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lockstep.data.encoding import Encoder
from lockstep.data.features import Features
from lockstep.models import checkpoints
from lockstep.models.checkpoints import values_of
from lockstep.models.determinism import layer_seeds, make_deterministic
from lockstep.models.network import Network, build, build_for_training, inference
from lockstep.models.scoring import average_precision, logits
from lockstep.models.shared_slopes import Slopes, fold
from lockstep.models.side_by_side import separate
from lockstep.models.training import Data, Schedule, one_hot, train

RNG = np.random.default_rng(2)
RAW = {
    "age": RNG.normal(40, 12, 500),
    "job": RNG.choice(list("abc"), 500).astype(object),
    "gain": np.where(RNG.random(500) < 0.7, 0.0, RNG.lognormal(8, 2, 500)),
}
ENCODER = Encoder.fit(RAW, bins=6, min_value_rows=5)
NETWORK = Network(ENCODER.n_codes, ENCODER.n_coded, ENCODER.numeric_width, hidden=(8,), embedding_dim=4)


def slopes_of(encoder: Encoder) -> Slopes:
    found = Slopes.of(encoder)
    assert found is not None
    return found


def test_a_column_becomes_its_standardised_clipped_number() -> None:
    slopes, edges = slopes_of(ENCODER), np.asarray(ENCODER.columns[0].edges)
    features = ENCODER.encode({**RAW, "age": np.resize(edges, 500)})
    values = features.numeric @ slopes.weights + slopes.offsets
    apart = (edges - np.median(edges)) / edges.std()
    # At the edges as the paper has it, and three times that.
    expected = 3 * apart / np.sqrt(1 + (apart / 3) ** 2)
    np.testing.assert_allclose(values[: len(edges), 0], expected, atol=1e-4)
    ordered = ENCODER.encode({**RAW, "gain": np.geomspace(1e-3, 1e9, 500)}).numeric @ slopes.weights
    assert (np.diff(ordered[:, 1]) >= -1e-4).all()
    assert np.abs(values).max() < 9


@pytest.mark.parametrize(
    "network",
    [
        NETWORK,
        replace(NETWORK, members=3, normalization="none", n_outputs=3),
        replace(NETWORK, hidden=(), members=2),
        replace(NETWORK, n_coded=0),
        replace(NETWORK, hidden=(8, 4), normalization="layer"),
    ],
)
def test_the_folded_network_answers_what_the_trained_one_does(network: Network) -> None:
    make_deterministic(3)
    slopes = slopes_of(ENCODER)
    made = build_for_training(network, "float32", layer_seeds(3), synchronized=False, slopes=slopes)
    made.set_weights([w + RNG.normal(0, 0.3, w.shape) ** 2 for w in made.get_weights()])
    features = ENCODER.encode(RAW)
    given = {"codes": features.codes, "numeric": features.numeric}
    expected = made({i.name: given[i.name] for i in made.inputs}, training=False).numpy().mean(axis=1)
    weights = fold(separate({w.path: w.numpy() for w in made.weights}, network.members), slopes)
    ships = build(network)
    checkpoints.assign(ships.weights, tuple(weights[w.path] for w in ships.weights))
    found = ships({i.name: given[i.name] for i in ships.inputs}).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_without_numbers_there_are_no_slopes() -> None:
    assert Slopes.of(Encoder.fit({"job": RAW["job"]}, bins=6, min_value_rows=5)) is None


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_numbers_near_the_ends_of_float64_give_finite_slopes(scale: float) -> None:
    slopes = slopes_of(Encoder.fit({"x": RNG.normal(size=300) * scale}, bins=6, min_value_rows=5))
    assert np.isfinite(slopes.weights).all()
    assert np.abs(slopes.weights).max() > 0.1


@pytest.mark.parametrize("hidden", [(8,), ()])
def test_a_training_goes_on_from_a_folded_network(hidden: tuple[int, ...]) -> None:
    labels = (RAW["age"] > 45).astype(int)
    data = Data(
        ENCODER.encode(RAW), one_hot(labels, 2), np.ones(500, dtype=np.float32), slopes=slopes_of(ENCODER)
    )
    network, schedule = replace(NETWORK, hidden=hidden), Schedule(3, 64, 0.01, seed=4)
    first = train(network, schedule, data, data, lambda state: None)
    resting = replace(schedule, epochs=1, learning_rate=1e-12)
    second = train(network, resting, data, data, lambda state: None, initial=values_of(first.model.weights))
    for one, other in zip(first.model.weights, second.model.weights, strict=True):
        if "moving" not in one.path:
            np.testing.assert_allclose(other.numpy(), one.numpy(), atol=1e-5)


def test_what_follows_a_line_is_learned_from_fewer_rows() -> None:
    numbers = RNG.normal(size=(1400, 40))
    raw = {f"x{i}": column for i, column in enumerate(numbers.T)}
    labels = (RNG.random(1400) < 1 / (1 + np.exp(-numbers.sum(axis=1)))).astype(int)
    encoder = Encoder.fit({n: v[:600] for n, v in raw.items()}, bins=24, min_value_rows=5)
    encoded, targets = encoder.encode(raw), one_hot(labels, 2)

    def rows(of: slice) -> Data:
        features = Features(encoded.numeric[of], encoded.codes[of])
        return Data(features, targets[of], np.ones(len(targets[of]), dtype=np.float32))

    network = Network(encoder.n_codes, encoder.n_coded, encoder.numeric_width, hidden=(16,))
    schedule = Schedule(epochs=4, batch_size=32, learning_rate=3e-3, seed=1)
    figures = []
    for slopes in (None, slopes_of(encoder)):
        data = replace(rows(slice(0, 600)), slopes=slopes)
        trained = train(network, schedule, data, rows(slice(600, 800)), lambda state: None)
        answers = logits(inference(trained.model), rows(slice(800, None)).features)
        figures.append(average_precision(targets[800:], answers))
    assert figures[1] > figures[0] + 0.005
