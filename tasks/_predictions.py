"""What the model that ships answered, row by row: what `evaluate` keeps, sealed, so that its figures can be checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lockstep.data.labels import Labels

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Answers(NamedTuple):
    """Answers to some of the rows as something else.

    Attributes
    ----------
    rows
        Their numbers, shape (m,).
    probability
        Shape (m,), or (m, k) of each of k > 2 classes.
    decisions
        Number of the class that each gets, shape (m,).
    """

    rows: npt.NDArray[np.int_]
    probability: Floats
    decisions: Codes


def predictions(
    labels: Labels, probability: Floats, decisions: Codes, beside: Mapping[str, Answers]
) -> pa.Table:
    """A row each: the number of its class, its probabilities, and the number of the class that it gets.

    Parameters
    ----------
    labels
        Of n rows.
    probability, decisions
        As in `Answers`, of all rows.
    beside
        More answers by name, which stands before the names of their columns; null for rows that are not among theirs.
    """
    n_rows = len(labels.codes)
    columns = {"label": _codes(labels.codes, labels), **_columns(labels, probability, decisions)}
    for name, answers in beside.items():
        place = np.full(n_rows, -1)
        place[answers.rows] = np.arange(len(answers.rows))
        taken = pa.array(place, mask=place < 0)
        found = _columns(labels, answers.probability, answers.decisions)
        columns |= {f"{name}:{column}": values.take(taken) for column, values in found.items()}
    return pa.table(columns)


def probability_of(table: pa.Table, classes: Sequence[str]) -> Floats:
    """Inverse of `predictions` for the probabilities: shape (n,), or (n, k) of each of k > 2 `classes`."""
    if len(classes) == 2:
        return np.asarray(table["probability"].to_numpy())
    return np.column_stack([table[f"probability:{name}"].to_numpy() for name in classes])


def _columns(labels: Labels, probability: Floats, decisions: Codes) -> dict[str, pa.Array]:
    scores = (
        {"probability": pa.array(probability)}
        if probability.ndim == 1
        else {f"probability:{name}": pa.array(probability[:, i]) for i, name in enumerate(labels.classes)}
    )
    return {**scores, "decision": _codes(decisions, labels)}


def _codes(codes: Codes, labels: Labels) -> pa.Array:
    return pa.array(codes.astype(np.int8 if len(labels.classes) <= 127 else np.int16))
