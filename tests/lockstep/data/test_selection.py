"""A selection is the table that pandas would make of the same rows, however it is read."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lockstep.data.batches import TableBatches
from lockstep.data.selection import Selection

RNG = np.random.default_rng(5)
FIRST, SECOND = (
    pa.table(
        {
            "a": RNG.integers(0, 9, n),
            "b": pa.array(RNG.choice(["x", "y"], n), mask=RNG.random(n) < 0.2),
            "c": RNG.random(n),
        }
    )
    for n in (50, 30)
)
MASKS = [RNG.random(50) < 0.5, np.zeros(30, dtype=bool)]
OWN = {"c": "c", "renamed": "a", "b": "b"}


def expected(masks: list[np.ndarray] | None) -> pa.Table:
    parts = [
        t if masks is None else t.filter(pa.array(m))
        for t, m in zip((FIRST, SECOND), masks or [0, 0], strict=True)
    ]
    return pa.concat_tables(parts).select(list(OWN.values())).rename_columns(list(OWN))


@pytest.mark.parametrize("masks", [None, MASKS])
@pytest.mark.parametrize("chunk", [7, 100])
def test_rows_and_columns_are_those_chosen(masks: list[np.ndarray] | None, chunk: int) -> None:
    sources = [
        TableBatches(pa.concat_tables(t.slice(at, chunk) for at in range(0, len(t), chunk)))
        for t in (FIRST, SECOND)
    ]
    selection = Selection(sources, OWN, masks)
    wanted = expected(masks)
    assert selection.read() == wanted
    assert selection.num_rows == len(wanted)
    assert selection.nulls("b") == wanted["b"].null_count > 0
    assert max(len(batch) for batch in selection.batches(["b"], rows=3)) <= 3
    numbers = pa.array(range(len(wanted)))
    longer = selection.extended("n", numbers)
    assert longer.read(["n", "b"]) == pa.table({"n": numbers, "b": wanted["b"]})
    assert longer.read(["n"])["n"].to_pylist() == numbers.to_pylist()
    # A selection of a selection, of whose own column some rows are taken.
    odd = np.arange(len(wanted)) % 2 == 1
    assert Selection([longer], {"n": "n"}, [odd]).read() == pa.table({"n": numbers.filter(pa.array(odd))})
