"""No leakage: whatever the test rows hold, nothing before `evaluate` knows; likewise validation rows and `resample`."""

from __future__ import annotations

import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml

from lockstep.data import columns
from lockstep.data.tables import SCHEMA, from_parquet, read_source, to_parquet
from lockstep.errors import DataError, WrongContext
from lockstep.sealing.vault import Vault, open_vault
from tests.conftest import ROOT, arguments, outputs, stages

KEPT = {"split", "income", columns.SEEN}
"""Columns of the demo that garbage leaves in their types and values, for they say what a row is."""


@pytest.fixture
def project(small_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the small project, which is the working directory."""
    shutil.copytree(small_project, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def vault() -> Vault:
    return open_vault(yaml.safe_load(Path("params.yaml").read_text())["project"], "lockstep.key-id")


def garbage(rows: pa.Table) -> pa.Table:
    """As many rows: unheard-of categories, numbers out of all ranges, gaps, and the labels of others."""
    rng = np.random.default_rng(5)

    def spoilt(name: str, column: pa.ChunkedArray) -> Any:
        gaps = rng.random(len(column)) < 0.3
        if name == "income":
            return pc.take(column, pa.array(rng.permutation(len(column))))
        if pa.types.is_string(column.type):
            return pa.array([f"{name} {n}" for n in rng.integers(0, 50, len(column))], column.type, mask=gaps)
        if pa.types.is_integer(column.type):
            return pa.array(rng.integers(-(10**9), 10**9, len(column)), column.type, mask=gaps)
        return pa.array(rng.normal(0, 1e12, len(column)), column.type, mask=gaps)

    return pa.table(
        [rows[n] if n in KEPT - {"income"} else spoilt(n, rows[n]) for n in rows.column_names],
        schema=rows.schema,
    )


def run(*names: str) -> None:
    for name in names:
        importlib.import_module(f"tasks.{name}").main(arguments(stages(Path())[name]))


def same(project: Path, before: Path, stage: str, but: frozenset[str] = frozenset()) -> None:
    """Assert that the outputs of `stage`, those of `but` apart, have the bytes that they had."""
    compared = [out for out in outputs(stages(project)[stage]) if out not in but]
    assert compared
    for out in compared:
        assert (project / out).read_bytes() == (before / out).read_bytes(), out


def spoil_test_rows_of_the_source() -> None:
    """Garbage in the place of the source's test rows, more of them, and standing among the other rows."""
    table = read_source("data/raw/census.parquet")
    is_test = pc.equal(table["split"], "test")
    train, test = table.filter(pc.invert(is_test)), garbage(table.filter(is_test))
    # Twins of training rows, which are not to decide how these are numbered.
    twins = train.take(np.random.default_rng(6).permutation(len(train))[:500])
    twins = twins.set_column(train.column_names.index("split"), "split", pa.array(["test"] * 500))
    whole = pa.concat_tables([test, twins, train.slice(0, 1000), test, train.slice(1000)])
    vault().write("data/source.parquet.sealed", to_parquet(whole), role="source", schema=SCHEMA)


DEBIASED_TEST = "data/debiased/test.parquet.sealed"


def test_no_output_before_evaluate_depends_on_test_rows(project: Path, small_project: Path) -> None:
    spoil_test_rows_of_the_source()
    run("split", "debias", "resample")
    same(project, small_project, "split", frozenset({"data/split/test.parquet.sealed", "reports/split.json"}))
    now, before = (json.loads((p / "reports/split.json").read_bytes()) for p in (project, small_project))
    assert now["test"] != before["test"]
    assert all(now[key] == before[key] for key in before.keys() - {"test", "test_rows_also_in_train"})
    assert (project / DEBIASED_TEST).read_bytes() != (small_project / DEBIASED_TEST).read_bytes()
    same(project, small_project, "debias", frozenset({DEBIASED_TEST}))
    same(project, small_project, "resample")


@pytest.mark.slow
@pytest.mark.parametrize("method", ["drop", "correlation", "reweighing", "adversarial"])
def test_neither_do_model_and_threshold(project: Path, small_project: Path, method: str) -> None:
    params = yaml.safe_load(Path("params.yaml").read_text())
    params["debias"].update(method=method, protect=["sex"], proxy_threshold=0.3)
    params["resample"].update(method="smote", ratio=0.2)
    Path("params.yaml").write_text(yaml.safe_dump(params))
    run("split", "debias", "resample", "train", "compress", "evaluate")
    clean = project.parent / "clean"
    shutil.copytree(project, clean)
    spoil_test_rows_of_the_source()
    run("split", "debias", "resample", "train", "compress", "evaluate")
    same(project, clean, "debias", frozenset({DEBIASED_TEST}))
    for stage in ("resample", "train", "compress"):
        same(project, clean, stage)
    now, before = (json.loads((p / "reports/evaluation.json").read_bytes()) for p in (project, clean))
    assert now["metrics"] != before["metrics"]
    assert now["threshold"] == before["threshold"]


def test_resample_and_what_debias_fits_do_not_depend_on_validation_rows(
    project: Path, small_project: Path
) -> None:
    spoil_validation_rows()
    run("debias", "resample")
    own = frozenset({DEBIASED_TEST, "data/debiased/validation.parquet.sealed"})
    same(project, small_project, "debias", own)
    same(project, small_project, "resample")


def spoil_validation_rows() -> None:
    name, role = "data/split/validation.parquet.sealed", "validation"
    rows = from_parquet(vault().read(name, role=role, schema=SCHEMA))
    vault().write(name, to_parquet(garbage(rows)), role=role, schema=SCHEMA)


@pytest.mark.slow
def test_neither_does_the_encoder(project: Path, small_project: Path) -> None:
    spoil_validation_rows()
    run("debias", "resample", "train")
    encoder, model = "models/encoder.sealed", "models/float.sealed"
    assert (project / encoder).read_bytes() == (small_project / encoder).read_bytes()
    # Validation rows choose the epoch and calibrate.
    assert (project / model).read_bytes() != (small_project / model).read_bytes()


def test_no_stage_between_debias_and_evaluate_is_given_test_rows() -> None:
    graph = stages(ROOT)
    given = {
        name: [d for d in stage["deps"] if d.endswith("/test.parquet.sealed")]
        for name, stage in graph.items()
    }
    assert {name for name, deps in given.items() if deps} == {"debias", "evaluate", "deploy"}
    tables = [dep for dep in graph["resample"]["deps"] if dep.endswith(".sealed")]
    assert tables == ["data/debiased/train.parquet.sealed", "data/debiased/transform.sealed"]


@pytest.mark.parametrize(
    ("stage", "part"),
    [("train", "validation"), ("compress", "validation"), ("evaluate", "validation"), ("evaluate", "test")],
)
def test_made_rows_are_refused_outside_train(project: Path, stage: str, part: str) -> None:
    path, role = f"data/debiased/{part}.parquet.sealed", f"debiased-{part}"
    rows = from_parquet(vault().read(path, role=role, schema=SCHEMA))
    made = np.arange(len(rows)) == 7
    spoilt = rows.append_column(columns.MADE, pa.array(made))
    vault().write(path, to_parquet(spoilt), role=role, schema=SCHEMA)
    with pytest.raises(DataError, match=rf"1 of the {part} rows were made by a sampler"):
        run(stage)
    # The resampled rows themselves do not even open as another part.
    shutil.copy2("data/resampled/train.parquet.sealed", path)
    with pytest.raises(WrongContext, match=r"is a sealed 'resampled-train'"):
        run(stage)
