"""Every resampling method keeps its promise, on numbers, categories and missing values together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import pytest

from lockstep.balance import _mixed, ctgan, methods
from lockstep.balance._mixed import Mixed
from lockstep.balance.methods import METHODS, resample
from lockstep.balance.rows import Resampled
from lockstep.errors import DataError
from tasks.resample import ResampleParams

CODES = (np.arange(1000) % 20 == 0).astype(np.int64)
SYNTHETIC = ["smote", "smotenc", "adasyn", "smote_enn", "ctgan"]
EACH = [pytest.param(name, marks=pytest.mark.slow) if name == "ctgan" else name for name in METHODS]
MEETS_RATIO = [name for name in METHODS if name not in ("none", "adasyn", "smote_enn", "tomek")]


def table(codes: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """Two overlapping classes, in numbers, whole numbers, categories few and many, and gaps in both kinds."""
    rng = np.random.default_rng(0)
    n = len(codes)
    height = rng.normal(codes * 1.5, 1.0)
    gaps = rng.normal(size=n)
    gaps[rng.random(n) < 0.2] = np.nan
    word = rng.choice(np.array(["a", "b", "c"], dtype=object), n)
    word[rng.random(n) < 0.1] = None
    return {
        "word": word,
        "height": height,
        "gaps": gaps,
        "whole": rng.integers(0, 9, n).astype(np.float64),
        "many": np.array([f"v{i}" for i in rng.integers(0, 60, n)], dtype=object),
        "flag": np.where(codes + rng.random(n) > 0.9, "true", "false").astype(object),
    }


COLUMNS = table(CODES)


@pytest.fixture(scope="module", autouse=True)
def _short() -> Iterator[None]:
    """What the GAN learns is another test's: here it trains a moment."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ctgan, "STEPS", 2)
        yield


@pytest.fixture(scope="module")
def sampled(_short: None) -> dict[str, Resampled]:
    return {name: resample(name, COLUMNS, CODES, 0.25, 3) for name in METHODS}


def classes_of(found: Resampled, codes: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    extra = found.synthetic.codes if found.synthetic else []
    return np.concatenate((codes[found.rows], extra)).astype(int)


def test_the_parameter_takes_every_method() -> None:
    assert get_args(ResampleParams.model_fields["method"].annotation) == tuple(METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_rows_are_rows_of_the_input_and_what_is_made_is_marked(
    method: str, sampled: dict[str, Resampled]
) -> None:
    found = sampled[method]
    n_synthetic = len(found.synthetic.codes) if found.synthetic else 0
    assert len(found.made) == len(found.weights) == len(found.rows) + n_synthetic
    assert set(found.rows) <= set(range(1000))
    originals = found.rows[~found.made[: len(found.rows)]]
    assert len(set(originals)) == len(originals)
    assert found.made[len(found.rows) :].all()
    assert (classes_of(found, CODES)[found.made] == 1).all()
    assert found.weights.mean() == pytest.approx(1.0, abs=1e-5)
    assert found.weights.dtype == np.float32


@pytest.mark.parametrize("method", MEETS_RATIO)
def test_the_wanted_ratio_is_met(method: str, sampled: dict[str, Resampled]) -> None:
    weight = np.bincount(classes_of(sampled[method], CODES), sampled[method].weights)
    assert weight[1] / weight[0] == pytest.approx(0.25, rel=0.01)


@pytest.mark.parametrize("method", SYNTHETIC)
def test_synthetic_rows_are_valid_and_new(method: str, sampled: dict[str, Resampled]) -> None:
    made = sampled[method].synthetic
    assert made is not None
    assert len(made.codes) > 50
    assert list(made.columns) == list(COLUMNS)
    for name, values in made.columns.items():
        real = COLUMNS[name]
        assert values.dtype == real.dtype
        if real.dtype == object:
            assert set(values) <= set(real)
        else:
            assert np.nanmin(real) <= np.nanmin(values) <= np.nanmax(values) <= np.nanmax(real)
    assert (made.columns["whole"] == np.rint(made.columns["whole"])).all()
    assert len(np.intersect1d(made.columns["height"], COLUMNS["height"])) < 0.1 * len(made.codes)
    if method != "ctgan":
        # They are like their class, and not like the other one.
        assert 0 < np.isnan(made.columns["gaps"]).mean() < 0.5
        assert 0 <= np.mean([value is None for value in made.columns["word"]]) < 0.4
        assert np.mean(made.columns["height"]) == pytest.approx(1.5, abs=0.6)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_balanced_enough_stays(method: str) -> None:
    if not METHODS[method].has_ratio:
        return
    found = resample(method, COLUMNS, CODES, 0.01, 3)
    assert found.rows.tolist() == list(range(1000))
    assert not found.made.any()
    assert (found.weights == 1).all()


@pytest.mark.parametrize("method", EACH)
def test_the_seed_decides(method: str, sampled: dict[str, Resampled]) -> None:
    again = resample(method, COLUMNS, CODES, 0.25, 3)
    assert (again.rows == sampled[method].rows).all()
    if again.synthetic:
        for name, values in again.synthetic.columns.items():
            assert np.array_equal(
                values, sampled[method].synthetic.columns[name], equal_nan=values.dtype != object
            )
    if method in ("over", "under", "smote", "smotenc", "adasyn", "smote_enn", "ctgan"):
        other = resample(method, COLUMNS, CODES, 0.25, 4)
        same = len(other.rows) == len(again.rows) and (other.rows == again.rows).all()
        if same and again.synthetic:
            same = np.array_equal(other.synthetic.columns["height"], again.synthetic.columns["height"])
        assert not same


@pytest.mark.parametrize("method", EACH)
def test_the_input_stays_as_it_is(method: str) -> None:
    columns, codes = table(CODES), CODES.copy()
    resample(method, columns, codes, 0.25, 3)
    assert (codes == CODES).all()
    for name, values in columns.items():
        assert np.array_equal(values, COLUMNS[name], equal_nan=values.dtype != object)


@pytest.mark.parametrize("method", EACH)
def test_several_classes_and_the_small_one_may_be_any(method: str) -> None:
    codes = np.repeat([1, 2, 0], [600, 300, 60])
    found = resample(method, table(codes), codes, 0.5, 3)
    weight = np.bincount(classes_of(found, codes), found.weights)
    if method in MEETS_RATIO:
        expected = {"under": [60, 120, 120], "near_miss": [60, 120, 120]}.get(method, [300, 600, 300])
        assert weight / weight[1] == pytest.approx(np.array(expected) / expected[1], rel=1e-6)
    assert (weight > 0).all()


@pytest.mark.parametrize("method", ["smote", "smotenc"])
@pytest.mark.parametrize("kind", ["numbers", "categories"])
def test_columns_of_one_kind(method: str, kind: str) -> None:
    wanted = {"numbers": ["height", "whole"], "categories": ["word", "many"]}[kind]
    found = resample(method, {name: COLUMNS[name] for name in wanted}, CODES, 0.25, 3)
    assert found.synthetic is not None
    assert len(found.synthetic.codes) == 187


@pytest.mark.parametrize("method", ["smote", "smotenc", "adasyn", "smote_enn"])
def test_a_class_of_one_row_is_named(method: str) -> None:
    codes = np.zeros(1000, dtype=np.int64)
    codes[0] = 1
    with pytest.raises(DataError, match=r"a class has 1\. Choose over"):
        resample(method, COLUMNS, codes, 0.25, 3)


def test_adasyn_says_when_it_has_nothing_to_go_by() -> None:
    with pytest.raises(DataError, match="Choose smote or smotenc"):
        resample("adasyn", {"x": CODES * 100.0 + np.arange(1000) / 1e4}, CODES, 0.25, 3)


def test_tomek_finds_the_links_that_imbalanced_learn_finds() -> None:
    from imblearn.under_sampling import TomekLinks

    from lockstep.balance._mixed import Mixed

    codes = np.random.default_rng(1).choice(3, 400, p=[0.6, 0.3, 0.1])
    columns = table(codes)
    mixed = Mixed(columns)
    links = TomekLinks()
    links.fit_resample(mixed.spread(mixed.encode(columns)), codes)
    assert resample("tomek", columns, codes, 0.5, 0).rows.tolist() == links.sample_indices_.tolist()
    assert len(links.sample_indices_) < 390


def test_neighbours_of_many_rows_are_of_a_seeded_subset(monkeypatch: pytest.MonkeyPatch) -> None:
    from lockstep.balance import _neighbours

    monkeypatch.setattr(_neighbours, "LIMIT", 100)
    rows = np.arange(1000.0)[:, None]
    found = [
        _neighbours.SubsetNeighbours(3, seed=seed).fit(rows).kneighbors(rows, return_distance=False)
        for seed in (1, 1, 2)
    ]
    assert (found[0] == found[1]).all()
    assert len(np.unique(found[0])) <= 100
    assert len(np.union1d(found[0], found[2])) > 150
    # The nearest of a subset of a tenth lie within some tens.
    assert np.abs(found[0] - rows).max() < 150


@pytest.mark.parametrize("method", METHODS)
def test_a_table_too_large_for_a_method_is_refused_with_the_size_it_takes(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    would_be = len(CODES) + int(0.25 * np.sum(CODES == 0)) - int(np.sum(CODES == 1))
    monkeypatch.setattr(methods, "MAX_CELLS", 6 * would_be - 1)
    if METHODS[method].reads_features:
        with pytest.raises(DataError, match=f"takes {would_be - 1:,} of 6 features.* would be {would_be:,}"):
            resample(method, COLUMNS, CODES, 0.25, 3)
    else:
        assert len(resample(method, COLUMNS, CODES, 0.25, 3).rows)


@pytest.mark.parametrize(
    ("method", "limit", "takes"),
    [("smotenc", "_smotenc._MAX_PLACES", 67), ("ctgan", "_gan._MAX_CATEGORIES", 67)],
)
def test_more_categories_than_a_method_takes_are_refused_by_the_column_that_has_most(
    method: str, limit: str, takes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A word of three or none, one of 60, a flag, and whether a number is missing: 68."""
    of_class = int(np.sum(CODES == 1))
    held = of_class + 5 * (int(0.25 * np.sum(CODES == 0)) - of_class) if method == "smotenc" else 1
    monkeypatch.setattr(f"lockstep.balance.{limit}", 68 * held - 1)
    with pytest.raises(DataError, match=rf"takes {takes} categories.* there are 68, most of them in 'many'"):
        resample(method, COLUMNS, CODES, 0.25, 3)


def test_categories_come_back_from_their_vectors_however_many_are_looked_at_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mixed = Mixed(COLUMNS)
    matrix = mixed.encode(COLUMNS)
    monkeypatch.setattr(_mixed, "_PRODUCTS", 70)
    assert np.array_equal(
        mixed.gather(mixed.spread(matrix))[:, mixed.n_numbers :], matrix[:, mixed.n_numbers :]
    )
