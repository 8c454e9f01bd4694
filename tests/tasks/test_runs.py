"""The stages' own promises, on small tables."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lockstep.data import columns
from lockstep.data.batches import TableBatches
from lockstep.errors import DataError, ExpectationsFailed, LockstepError
from tasks import debias, encrypt, resample, sample, split, validate
from tests.tasks._debias import debiased
from tests.tasks._split import split_tables

RNG = np.random.default_rng(0)
SIZE = 2000
SEX = RNG.choice(["f", "m"], SIZE)
SOURCE = pa.table(
    {
        "height": np.round(RNG.normal(np.where(SEX == "m", 180, 165), 4)),
        "word": RNG.choice(list("abcdefgh"), SIZE),
        "score": RNG.integers(0, 150, SIZE),
        "sex": SEX,
        "weight": RNG.random(SIZE),
        "y": np.where(RNG.random(SIZE) < 0.1, "yes", "no"),
    }
)
SPLIT = split.SplitParams(
    project="p",
    target="y",
    positive="yes",
    sensitive=["sex"],
    not_features=["weight"],
    split_column=None,
    time_column=None,
    id_column=None,
    validation_share=0.1,
    test_share=0.2,
    seed=1,
)


def rows(table: pa.Table) -> set[tuple[object, ...]]:
    return set(map(tuple, table.select(["height", "word", "score"]).to_pandas().to_numpy().tolist()))


def test_sample_keeps_a_share_of_each_file_spread_evenly() -> None:
    parts = {"train": pa.table({"x": range(1000)}), "test": pa.table({"x": range(500)})}
    table = sample.run(parts, sample.SampleParams(share=0.1))
    assert table["split"].to_pylist() == ["train"] * 100 + ["test"] * 50
    assert max(table["x"].to_pylist()) == 999
    assert sample.run(parts, sample.SampleParams(share=1.0)).num_rows == 1500


def test_validate_reports_without_values_and_stops_with_a_table() -> None:
    params = validate.ValidateParams(target="y", min_category_rows=5, suite_parameters={})
    suite = [{"type": "expect_column_values_to_be_between", "kwargs": {"column": "score", "max_value": 149}}]
    report = validate.run(TableBatches(SOURCE), suite, params).report
    assert (report["n_rows"], report["n_failed"]) == (SIZE, 0)
    suite[0]["kwargs"]["max_value"] = 74
    with pytest.raises(
        ExpectationsFailed, match=r"1 of 1 .*\n  column .*\n  score +expect_column_values_to_be_between"
    ):
        validate.run(TableBatches(SOURCE), suite, params).refuse("page.html")
    with pytest.raises(DataError, match="reserved"):
        validate.run(TableBatches(SOURCE.append_column(columns.MADE, SOURCE["y"])), suite, params)


def test_encrypt_refuses_what_was_not_validated() -> None:
    source = TableBatches(pa.table({"a": [1]}))
    (batch,) = encrypt.run(source, "seen", "s.csv", {"source_sha256": "seen"})
    assert batch.num_rows == 1
    with pytest.raises(DataError, match=r"s\.csv is not what `validate` saw"):
        encrypt.run(source, "other", "s.csv", {"source_sha256": "seen"})


def test_split_keeps_identical_rows_on_one_side_of_every_split() -> None:
    train, validation, test, report = split_tables(SOURCE, SPLIT)
    assert not rows(train) & rows(validation)
    assert not (rows(train) | rows(validation)) & rows(test)
    assert len(train) + len(validation) + len(test) == SIZE
    assert report["test_rows_also_in_train"]["identical_but_for_sensitive_features"]["n_rows"] == 0
    assert "weight" not in train.column_names
    assert not any(test[columns.SEEN].to_pylist())


def test_split_keeps_the_sources_own_test_rows_and_counts_the_overlap() -> None:
    own = np.where(np.arange(SIZE) < 1400, "train", "test")
    params = SPLIT.model_copy(update={"split_column": "part"})
    train, validation, test, report = split_tables(SOURCE.append_column("part", pa.array(own)), params)
    assert len(test) == 600
    assert not rows(train) & rows(validation)
    expected = sum(
        row in (rows(train) | rows(validation))
        for row in map(tuple, test.select(["height", "word", "score"]).to_pandas().to_numpy().tolist())
    )
    overlap = report["test_rows_also_in_train"]
    assert (
        overlap["identical_but_for_sensitive_features"]["n_rows"]
        == expected
        == sum(test[columns.SEEN].to_pylist())
    )
    assert overlap["identical_in_all_features"]["n_rows"] <= expected


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"target": "z"}, r"data\.target names \['z'\]"),
        ({"sensitive": ["race"]}, r"data\.sensitive names \['race'\]"),
        ({"not_features": ["zip"]}, r"data\.not_features names \['zip'\]"),
        ({"split_column": "word"}, "must hold 'train' and 'test'"),
        ({"positive": "maybe"}, "never holds"),
        ({"sensitive": ["sex", "sex"]}, r"\['sex'\] stand more than once"),
        ({"not_features": ["y"]}, r"\['y'\] stand more than once"),
        ({"not_features": ["height", "word", "score", "weight"]}, "No feature is left"),
    ],
)
def test_split_names_what_is_wrong(update: dict[str, object], words: str) -> None:
    with pytest.raises(LockstepError, match=words):
        split_tables(SOURCE, SPLIT.model_copy(update=update))


def parts() -> dict[str, pa.Table]:
    train, validation, test, _ = split_tables(SOURCE, SPLIT)
    return {"train": train, "validation": validation, "test": test}


DEBIAS = debias.DebiasParams(
    project="p",
    target="y",
    positive="yes",
    sensitive=["sex"],
    min_category_rows=5,
    split_column=None,
    time_column=None,
    method="drop",
    protect=None,
    seed=1,
    proxy_threshold=0.5,
)


def test_debias_drops_proxies_and_keeps_the_sensitive_feature_for_the_audit() -> None:
    result = debiased(parts(), {"sex": ["f", "m"]}, DEBIAS)
    assert result.report["proxies_dropped"] == ["height"]
    assert set(result.report["associations"]) == {"height", "word", "score"}
    for table in result.parts.values():
        assert columns.features(table.column_names, "y") == ["word", "score"]
        assert columns.audit("sex") in table.column_names
    for name, part in parts().items():
        # A champion that reads the proxy is compared on the test rows.
        beside = columns.audit("height")
        assert (beside in result.parts[name].column_names) == (name == "test")
        if name == "test":
            known = set(zip(*(part[c].to_pylist() for c in ("word", "score", "height")), strict=True))
            kept = (result.parts[name][c].to_pylist() for c in ("word", "score", beside))
            assert set(zip(*kept, strict=True)) <= known
    assert set(result.report["labels_by_group"]["sex"]["groups"]) == {"f", "m"}


def features_of(table: pa.Table) -> set[tuple[object, ...]]:
    return set(map(tuple, table.select(["word", "score"]).to_pandas().to_numpy().tolist()))


@pytest.mark.parametrize("split_column", [None, "part"])
def test_rows_that_only_a_proxy_told_apart_do_not_stand_on_two_sides(split_column: str | None) -> None:
    tables = parts()
    assert features_of(tables["train"]) & features_of(tables["validation"])
    result = debiased(tables, {}, DEBIAS.model_copy(update={"split_column": split_column}))
    after = result.parts
    assert not features_of(after["train"]) & features_of(after["validation"])
    assert result.report["rows_moved_to_train"] > 0
    assert sum(map(len, after.values())) == SIZE
    seen = np.array(after["test"][columns.SEEN].to_pylist())
    if split_column is None:
        assert not (features_of(after["train"]) | features_of(after["validation"])) & features_of(
            after["test"]
        )
        assert not seen.any()
    else:
        assert len(after["test"]) == len(tables["test"])
        assert seen.mean() > 0.5


def test_debias_refuses_when_too_few_rows_are_left_apart() -> None:
    coarse = {n: t.select(["height", "word", "sex", "y"]) for n, t in parts().items()}
    with pytest.raises(DataError, match=r"Without the proxies \['height'\] too few rows differ"):
        debiased(coarse, {}, DEBIAS)


def test_debias_measures_on_train_alone() -> None:
    tables = parts()
    shuffled = RNG.permutation(len(tables["test"]))
    other = {
        **tables,
        "test": tables["test"].set_column(0, "height", tables["test"]["height"].take(shuffled)),
    }
    assert debiased(other, {}, DEBIAS).report == debiased(tables, {}, DEBIAS).report


def test_debias_may_leave_the_sensitive_features_in() -> None:
    params = DEBIAS.model_copy(update={"method": "none"})
    result = debiased(parts(), {}, params)
    assert columns.features(result.parts["train"].column_names, "y") == ["height", "word", "score", "sex"]


def test_debias_refuses_to_leave_nothing() -> None:
    with pytest.raises(DataError, match="Every feature counts as a proxy"):
        debiased({n: t.select(["height", "sex", "y"]) for n, t in parts().items()}, {}, DEBIAS)


def test_synthetic_rows_have_the_types_of_the_table_and_are_nobody() -> None:
    train = debiased(parts(), {}, DEBIAS).parts["train"]
    word = train["word"].dictionary_encode()
    tall = pa.compute.greater(train["score"], 70)
    train = train.drop_columns(["word"]).append_column("word", word).append_column("tall", tall)
    train = train.append_column("exact", train["score"].cast(pa.decimal128(21, 2)))
    params = resample.ResampleParams(
        project="p", target="y", positive="yes", method="smotenc", ratio=0.5, seed=1
    )
    found = resample.run(train, params)
    table = found.train
    assert table.drop_columns([columns.MADE, columns.WEIGHT]).schema == train.schema
    n_made = found.report["after"]["n_made"]
    assert table.slice(0, len(train)).drop_columns([columns.MADE, columns.WEIGHT]).equals(train)
    made = table.slice(len(train))
    assert len(made) == n_made == sum(table[columns.MADE].to_pylist()) > 0
    assert set(made["y"].to_pylist()) == {"yes"}
    assert made[columns.audit("sex")].null_count == n_made
    assert made["score"].null_count == made["word"].null_count == made["tall"].null_count == 0
    fidelity = found.report["fidelity"]
    assert set(fidelity["column_shapes"]["by_column"]) == set(columns.features(train.column_names, "y"))
    assert 0.5 < fidelity["pair_trends"] <= 1
