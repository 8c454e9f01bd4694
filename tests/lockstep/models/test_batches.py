"""Batches of rows that are held by their numbers are those of rows that are held as a network reads them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lockstep.data.encoded_columns import Column
from lockstep.data.encoding import Encoder
from lockstep.data.features import Compact, Features
from lockstep.models.batches import Feed
from lockstep.models.scoring import slices
from lockstep.models.training import Data
from tests.lockstep.models.test_models import DATA, ENCODER, RAW, SCHEDULE

NUMBERS = st.floats(allow_nan=False)
EDGES = st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=9, unique=True).map(sorted)


def data(features: Features | Compact) -> Data:
    weights = np.ones(len(features.codes), dtype=np.float32)
    return Data(features, weights[:, None], weights)


def test_an_epoch_has_the_same_batches() -> None:
    read = replace(DATA, features=ENCODER.encode_compact(RAW))
    epochs = [list(Feed(rows).epoch(SCHEDULE, 2)) for rows in (DATA, read)]
    assert len(epochs[0]) == len(epochs[1]) == SCHEDULE.steps(len(DATA.targets))
    for (inputs, *rest), (others, *their_rest) in zip(*epochs, strict=True):
        assert inputs.keys() == others.keys() == {"numeric", "codes"}
        pairs = [*((inputs[name], others[name]) for name in inputs), *zip(rest, their_rest, strict=True)]
        for part, other in pairs:
            assert part.dtype == other.dtype
            assert part.numpy().tobytes() == other.numpy().tobytes()


@given(edges=st.lists(EDGES, min_size=1, max_size=3), numbers=st.lists(NUMBERS, min_size=1, max_size=20))
def test_bins_are_equal_property(edges: list[list[float]], numbers: list[float]) -> None:
    columns = [Column(f"{i}", "numeric", (), tuple(of), coded=False) for i, of in enumerate(edges)]
    values = np.array(numbers + [edge for of_column in edges for edge in of_column])
    rows = Encoder(columns).encode_compact({column.name: values for column in columns})
    ordered = replace(SCHEDULE, batch_size=len(values))
    made, held = (next(iter(Feed(data(of)).epoch(ordered, 1)))[0] for of in (rows, rows.dense()))
    # TensorFlow's threads take the smallest numbers for 0.
    tiny = np.finfo(np.float32).tiny
    np.testing.assert_allclose(made["numeric"].numpy(), held["numeric"].numpy(), rtol=0, atol=tiny)


def test_many_rows_are_scored_slice_by_slice() -> None:
    rows = ENCODER.encode_compact({name: np.resize(column, 20_000) for name, column in RAW.items()})
    sizes = []
    whole = rows.dense()
    for inputs in slices(rows):
        start = sum(sizes)
        sizes.append(len(inputs["codes"]))
        for name, part in zip(("numeric", "codes"), whole, strict=True):
            np.testing.assert_array_equal(inputs[name], part[start : start + sizes[-1]])
    assert sum(sizes) == 20_000
    assert max(sizes) < 10_000
