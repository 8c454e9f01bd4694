"""Splits by time never look ahead, and rows of one id stand on one side."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lockstep.data import columns
from lockstep.errors import DataError, LockstepError, ParameterError
from tasks import _fold, debias, split
from tasks._params import load_params
from tests.conftest import ROOT
from tests.tasks._debias import debiased
from tests.tasks._split import split_tables

RNG = np.random.default_rng(3)
SIZE = 1200
DAY = RNG.integers(0, 60, SIZE)
OLD = [datetime.date(2024, 1, 1) + datetime.timedelta(days=int(day)) for day in DAY]
SEX = RNG.choice(["f", "m"], SIZE)
SOURCE = pa.table(
    {
        "row": np.arange(SIZE),
        "height": np.round(RNG.normal(np.where(SEX == "m", 180, 165), 3)),
        "word": RNG.choice(list("abcdefgh"), SIZE),
        "score": RNG.random(SIZE),
        "sex": SEX,
        "when": pa.array(OLD),
        "client": RNG.integers(0, 500, SIZE),
        "y": np.where(RNG.random(SIZE) < 0.3, "yes", "no"),
    }
)
DATA = {
    "project": "p", "target": "y", "positive": "yes", "sensitive": ["sex"], "not_features": [],
    "split_column": None, "time_column": None, "id_column": None,
}  # fmt: skip


def params(**update: Any) -> split.SplitParams:
    return split.SplitParams(**{**DATA, "validation_share": 0.2, "test_share": 0.25, "seed": 1, **update})


def fair_params(**update: Any) -> debias.DebiasParams:
    own = {"min_category_rows": 5, "method": "drop", "protect": None, "seed": 1, "proxy_threshold": 0.6}
    data = {name: DATA[name] for name in DATA if name not in ("not_features", "id_column")}
    return debias.DebiasParams(**{**data, **own, **update})


def of(part: pa.Table, name: str) -> list[Any]:
    """Values of a column that the split takes away; `row` stays as a feature."""
    return np.array(SOURCE[name].to_pylist(), dtype=object)[part["row"].to_numpy()].tolist()


def test_a_split_by_time_never_looks_ahead_and_keeps_a_day_on_one_side() -> None:
    train, validation, test, report = split_tables(SOURCE, params(time_column="when"))
    assert max(of(train, "when")) < min(of(validation, "when"))
    assert max(of(validation, "when")) < min(of(test, "when"))
    assert len(train) + len(validation) + len(test) == SIZE
    assert len(test) == pytest.approx(0.25 * SIZE, rel=0.1)
    assert report["split_by"] == "when"
    assert "when" not in train.column_names


def test_rows_of_one_id_stand_on_one_side() -> None:
    parts = split_tables(SOURCE, params(id_column="client"))[:3]
    clients = [set(of(part, "client")) for part in parts]
    assert not clients[0] & clients[1] | clients[0] & clients[2] | clients[1] & clients[2]
    assert sum(map(len, parts)) == SIZE
    for part in parts:
        assert "client" not in part.column_names
        assert columns.GROUP in part.column_names


def test_an_id_that_comes_again_is_left_out_of_what_is_earlier() -> None:
    train, validation, test, report = split_tables(SOURCE, params(time_column="when", id_column="client"))
    assert max(of(train, "when")) < min(of(validation, "when"))
    assert max(of(validation, "when")) < min(of(test, "when"))
    clients = [set(of(part, "client")) for part in (train, validation, test)]
    assert not clients[0] & clients[1] | clients[0] & clients[2] | clients[1] & clients[2]
    left_out = report["left_out_for_a_later_row_of_the_id"]["n_rows"]
    assert len(train) + len(validation) + len(test) == SIZE - left_out
    assert left_out > 0


def test_a_row_without_an_id_is_by_itself() -> None:
    few = SOURCE.set_column(6, "client", pa.array([None] * (SIZE - 2) + ["a", "a"]))
    parts = split_tables(few, params(id_column="client"))[:3]
    assert all(len(part) > 100 for part in parts)
    assert [len({SIZE - 1, SIZE - 2} & set(part["row"].to_pylist())) for part in parts].count(2) == 1


def test_the_sources_own_test_rows_of_a_known_id_are_seen() -> None:
    part = np.where(np.arange(SIZE) < 900, "train", "test")
    _, _, test, _ = split_tables(
        SOURCE.append_column("part", pa.array(part)), params(split_column="part", id_column="client")
    )
    known = set(SOURCE["client"].to_pylist()[:900])
    assert test[columns.SEEN].to_pylist() == [client in known for client in of(test, "client")]


@pytest.mark.parametrize("by", [{"split_column": "part"}, {"time_column": "when"}])
def test_test_rows_do_not_decide_about_the_others(by: dict[str, str]) -> None:
    """Neither their features and labels do nor, where the source marks them, their ids, which connect other rows."""
    own = params(id_column="client", **by)
    rng = np.random.default_rng(1)
    is_test = DAY >= 45 if "time_column" in by else rng.random(SIZE) < 0.7
    source = SOURCE.drop_columns(["row", "word", "score", "client"])
    source = source.append_column("score", pa.array(rng.integers(0, 800, SIZE)))
    source = source.append_column("client", pa.array(rng.integers(0, 800, SIZE)))
    if "split_column" in by:
        marks = pa.array(np.where(is_test, "test", "train"))
        source = source.drop_columns(["when"]).append_column("part", marks)
    before, fair = split_tables(source, own), fair_params(**by)
    names = ["height", "score", "sex", "y", *(["client"] if "split_column" in by else [])]
    # What other rows hold is the most that garbage can do: it makes twins, and connects.
    there = np.flatnonzero(is_test)
    for name in names:
        shuffled = np.arange(SIZE)
        shuffled[there] = rng.integers(0, SIZE, len(there))
        source = source.set_column(source.column_names.index(name), name, source[name].take(shuffled))
    after = split_tables(source, own)
    assert after[2] != before[2]
    assert after[:2] == before[:2]
    found, again = (debiased(dict(zip(debias.PARTS, p[:3], strict=True)), {}, fair) for p in (before, after))
    assert found.report["proxies_dropped"] == ["height"]
    assert again.parts["test"] != found.parts["test"]
    assert (found.report["rows_moved_to_train"] > 0) == ("split_column" in by)
    assert again.report == found.report
    assert all(again.parts[part] == found.parts[part] for part in ("train", "validation"))


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"time_column": "word"}, "'word' is of type string; a time is"),
        ({"time_column": "then"}, r"data\.time_column names \['then'\]"),
        ({"id_column": "who"}, r"data\.id_column names \['who'\]"),
        ({"time_column": "when", "split_column": "word"}, "both split the rows"),
        ({"time_column": "when", "id_column": "when"}, r"\['when'\] stand more than once"),
    ],
)
def test_what_is_wrong_is_named(update: dict[str, Any], words: str) -> None:
    with pytest.raises(LockstepError, match=words):
        split_tables(SOURCE, params(**update))


def test_times_that_split_nothing() -> None:
    once = SOURCE.set_column(5, "when", pa.array([2024] * SIZE))
    with pytest.raises(DataError, match="All rows to split are of one time"):
        split_tables(once, params(time_column="when"))
    gaps = SOURCE.set_column(5, "when", pa.array([*range(SIZE - 1), None]))
    with pytest.raises(DataError, match="missing in 1 rows"):
        split_tables(gaps, params(time_column="when"))
    words = SOURCE.set_column(5, "when", pa.array([str(day) for day in OLD]))
    assert [len(part) for part in split_tables(words, params(time_column="when"))[:3]] == [
        len(part) for part in split_tables(SOURCE, params(time_column="when"))[:3]
    ]
    late = SOURCE.set_column(7, "y", pa.array(["no"] * 1000 + ["yes"] * 200)).set_column(
        5, "when", pa.array(range(SIZE))
    )
    with pytest.raises(DataError, match=r"leaves .* not every class"):
        split_tables(late, params(time_column="when"))


@pytest.mark.parametrize("update", [{"time_column": "when"}, {"id_column": "client"}])
def test_debias_keeps_what_the_split_promised(update: dict[str, Any]) -> None:
    """Rows that only a dropped proxy told apart move neither ahead in time nor away from their id."""
    key = "when" if "time_column" in update else "client"
    # Coarse enough that rows are told apart by their heights alone, and fine enough that ids do not all hang together.
    score = RNG.integers(0, 1 if key == "when" else 400, SIZE)
    coarse = SOURCE.drop_columns(["row"]).set_column(2, "score", pa.array(score))
    # The column stands in as a sensitive feature, so that it can still be read afterwards.
    marks = pa.array(map(str, SOURCE[key].to_pylist()))
    parts = split_tables(coarse.append_column("mark", marks), params(sensitive=["sex", "mark"], **update))[:3]
    found = debiased(
        dict(zip(debias.PARTS, parts, strict=True)),
        {},
        fair_params(sensitive=["sex", "mark"], **{k: v for k, v in update.items() if k == "time_column"}),
    )
    assert found.report["proxies_dropped"] == ["height"]
    train, validation, test = (found.parts[part][columns.audit("mark")].to_pylist() for part in debias.PARTS)
    if key == "when":
        assert max(train) < min(validation) <= max(validation) < min(test)
        assert any(found.parts["test"][columns.SEEN].to_pylist())
    else:
        assert found.report["rows_moved_to_train"] > 0
        assert not set(train) & set(validation) | set(train) & set(test) | set(validation) & set(test)


def test_cross_validation_refuses_to_look_ahead(tmp_path: Path) -> None:
    found = load_params(_fold.FoldParams, ROOT / "params.yaml").model_copy(update={"time_column": "when"})
    with pytest.raises(ParameterError, match="folds would look ahead"):
        _fold.run(SOURCE, 0, 2, found, None, None, None)  # type: ignore[arg-type]
