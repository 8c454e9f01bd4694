"""The target as numbered classes, and what is refused."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lockstep.data.labels import labels_of
from lockstep.errors import DataError

TABLE = pa.table({"one": ["a"] * 4, "two": ["yes", "no", "no", "yes"], "three": [30, 9, 100, 9]})


def test_the_positive_class_of_two_is_last() -> None:
    labels = labels_of(TABLE, "two", "no")
    assert labels.classes == ("yes", "no")
    assert labels.codes.tolist() == [0, 1, 1, 0]
    assert labels.counts(np.array([0, 1])) == {"n_rows": 2, "n_positive": 1}


def test_several_classes_are_sorted_by_their_text() -> None:
    labels = labels_of(TABLE, "three", None)
    assert labels.classes == ("100", "30", "9")
    assert labels.codes.tolist() == [1, 2, 0, 2]
    assert labels.counts() == {"n_rows": 4, "by_class": {"100": 1, "30": 1, "9": 2}}


def test_a_models_classes_number_the_rows_of_a_table_that_lacks_one() -> None:
    labels = labels_of(TABLE.slice(1, 1), "three", None, ("100", "30", "9"))
    assert labels.codes.tolist() == [2]


@pytest.mark.parametrize(
    ("target", "positive", "classes", "words"),
    [
        ("three", "9", None, "has 3 classes, and data.positive names one of two"),
        ("one", "a", None, "has 1 classes"),
        ("one", None, None, "has 1 classes"),
        ("two", "maybe", None, "never holds"),
        ("two", None, None, "has 2 classes and data.positive is null"),
        ("three", None, ("100", "30", "8"), "2 rows hold a label of target 'three' that no training row has"),
        ("four", None, None, r"data\.target names \['four'\]"),
    ],
)
def test_what_is_wrong_is_named(
    target: str, positive: str | None, classes: tuple[str, ...] | None, words: str
) -> None:
    with pytest.raises(DataError, match=words):
        labels_of(TABLE, target, positive, classes)


def test_a_missing_label_is_counted() -> None:
    with pytest.raises(DataError, match="missing in 1 rows"):
        labels_of(pa.table({"y": ["a", None]}), "y", "a")
