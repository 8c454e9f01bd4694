"""What `lockstep init` says about a table: leaks, keys, dates, text - and nothing that is a single person's."""

from __future__ import annotations

import datetime
from dataclasses import astuple
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.metrics import roc_auc_score

from lockstep.data.findings import Finding, duplicates, few_groups, look_at
from lockstep.data.leaks import Labels, separation
from lockstep.data.project import find_roles
from lockstep.errors import DataError

RNG = np.random.default_rng(1)
SIZE = 600
Y = RNG.integers(0, 2, SIZE)
NOISE = RNG.random(SIZE)


def told(values: Any, labels: Any = Y) -> float:
    return separation(pa.chunked_array([values]), Labels.of(np.asarray(labels)))


@pytest.mark.parametrize(
    "values",
    [
        Y,
        Y * 2.5,
        1 - Y,
        np.where(Y, "gone", "here"),
        Y.astype(bool),
        Y * 10 + RNG.integers(0, 5, SIZE),
        [None if y else float(n) for y, n in zip(Y, NOISE, strict=True)],
        Y + NOISE * 0.9,
        pa.array(np.where(Y, "x", "z")).dictionary_encode(),
    ],
)
def test_what_gives_the_label_away(values: Any) -> None:
    assert told(values) > 0.995


@pytest.mark.parametrize(
    "values", [np.arange(SIZE), NOISE, [str(i) for i in range(SIZE)], RNG.integers(0, 90, SIZE), [1.5] * SIZE]
)
def test_what_tells_nothing(values: Any) -> None:
    assert told(values) == pytest.approx(0.5, abs=0.08)


def test_several_classes() -> None:
    classes = RNG.integers(0, 3, SIZE)
    assert told(np.array(["a", "b", "c"])[classes], classes) > 0.995
    assert told(NOISE, classes) == pytest.approx(0.5, abs=0.08)


def test_too_few_rows_of_a_class_say_nothing() -> None:
    rare = np.arange(SIZE) < 5
    assert told(rare.astype(int), rare.astype(int)) == 0.5


def test_the_figure_is_the_area_under_the_curve() -> None:
    frame = load_breast_cancer(as_frame=True).frame
    for name in ("mean radius", "worst concave points", "mean texture"):
        exact = roc_auc_score(frame["target"], -frame[name])
        assert told(frame[name].to_numpy(), frame["target"]) == pytest.approx(exact, abs=0.03)


def look(values: Any, min_rows: int = 5, **options: Any) -> Finding:
    column = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([values])
    return look_at("c", column, Labels.of(Y[: len(column)]), min_rows, **options)


@pytest.mark.parametrize(
    ("values", "kind", "feature", "words"),
    [
        (NOISE, "number", True, ""),
        (np.arange(SIZE), "whole number", False, "like a key"),
        ([f"id {i}" for i in range(SIZE)], "text", False, "like a key"),
        ([f"note {i // 1.05:.0f}" for i in range(SIZE)], "text", False, "free text"),
        ([f"town {i % 250}" for i in range(SIZE)], "text", True, "more than 200 categories"),
        ([7] * SIZE, "whole number", False, "one value"),
        ([None] * SIZE, "empty", False, "it is empty"),
        ([datetime.date(2020, 1, 1)] * SIZE, "date", False, "type date32"),
        ([f"{i % 28 + 1}.5.2020" for i in range(SIZE)], "category", False, "dates as text"),
        (np.where(np.arange(SIZE) % 9, "12", "unknown"), "category", True, "text among numbers"),
        (["a", "b"] * (SIZE // 2 - 2) + ["u", "v", "w", "x"], "category", True, "4 categories have fewer than 5 rows"),
        ([None] * (SIZE - 9) + list(range(9)), "whole number", True, "mostly missing"),
        (np.where(Y, "gone", "here"), "category", False, "gives the label away by itself"),
        (np.where(RNG.random(SIZE) < 0.005, 1 - Y, Y), "whole number", True, "nearly gives the label away"),
    ],
)  # fmt: skip
def test_a_column(values: Any, kind: str, feature: bool, words: str) -> None:
    found = look(values)
    assert (found.kind, found.feature) == (kind, feature)
    assert words in found.advice
    assert bool(words) == bool(found.advice)


def test_nothing_rare_and_no_extreme_is_shown() -> None:
    rare = look(["common"] * (SIZE - 3) + ["canary"] * 3)
    extreme = look(np.append(RNG.integers(0, 40, SIZE - 1), 98_761))
    text = look([f"canary {i}" for i in range(SIZE)])
    shown = " ".join(map(str, [*astuple(rare), *astuple(extreme), *astuple(text)]))
    assert "common" in shown
    assert "canary" not in shown
    assert "98761" not in shown.replace(",", "")
    assert extreme.holds == "0 to 100,000"


def test_a_column_with_a_role_is_not_judged() -> None:
    found = look(np.where(Y, "gone", "here"), named=True)
    assert (found.feature, found.advice) == (False, "")


def test_twins_and_contradictions() -> None:
    table = pa.table({"a": [1, 1, 2, 3, 3], "b": ["x", "x", None, "y", "y"]})
    sentences = duplicates(table, ["a", "b"], np.array([0, 1, 0, 1, 1]))
    assert sentences[0].startswith("2 rows (40.0%) repeat")
    assert sentences[1].startswith("2 rows (40.0%) share all features with a row of another label")
    assert duplicates(pa.table({"a": [1, 2]}), ["a"], np.array([0, 1])) == []


def test_features_with_fewer_than_two_groups_that_are_large_enough_are_named() -> None:
    table = pa.table({"sex": ["f"] * 50 + ["m"] * 50, "race": ["a"] * 60 + ["b"] * 31 + ["c"] * 9})
    assert few_groups(table, ["sex", "race"], 0.2, 6) == []
    (sentence,) = few_groups(table, ["sex", "race"], 0.2, 10)
    assert sentence.startswith("1 of the 3 groups of race can be expected to have the 10 test rows")


def test_real_tables_have_no_leak() -> None:
    frame = load_breast_cancer(as_frame=True).frame
    roles = find_roles(pa.Table.from_pandas(frame), "target", None, [], 20)
    assert (roles.not_features, roles.positive) == ((), "0")
    assert not [found for found in roles.findings if found.advice]
    wine = pa.Table.from_pandas(load_wine(as_frame=True).frame)
    several = find_roles(wine, "target", None, [], 20)
    assert (several.positive, several.classes, several.not_features) == (
        None,
        {"0": 59, "1": 71, "2": 48},
        (),
    )
    with pytest.raises(DataError, match="3 classes; --positive names one of two"):
        find_roles(wine, "target", "1", [], 20)
