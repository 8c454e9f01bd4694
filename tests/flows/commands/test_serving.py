"""`lockstep predict` and `lockstep deploy` from the command line's side."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from flows._champion import champion_directory
from flows.commands import serving
from flows.commands.serving import predict
from lockstep.bundle.contents import project_vault
from lockstep.data.tables import from_parquet
from lockstep.errors import DataError, RegistryError, UsageError
from tests.lockstep.bundle.candidate import POSITIVE, PROJECT, STATES, bundle, published, rows


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    published(tmp_path / "registry")
    pq.write_table(pa.table({"id": np.arange(30), **rows(30)}), "table.parquet")
    return tmp_path / "registry"


def _expected() -> np.ndarray:
    return bundle().scorer().probability(rows(30))


def test_predictions_are_sealed(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = Path("scores.sealed")
    predict(Path("table.parquet"), out, registry=registry)
    predictions = from_parquet(project_vault(PROJECT).read(out, role="predictions", schema="table/1"))
    assert predictions.column_names == ["row", "probability", "label"]
    assert predictions["row"].to_pylist() == list(range(30))
    np.testing.assert_allclose(predictions["probability"].to_numpy(), _expected(), atol=1e-9)
    labels = [POSITIVE if p >= 0.5 else "under 50k" for p in _expected()]
    assert predictions["label"].to_pylist() == labels
    assert "30 rows scored by income version 1" in capsys.readouterr().out


def test_two_sealed_files_show_no_likeness(registry: Path) -> None:
    for name in ("a.sealed", "b.sealed"):
        predict(Path("table.parquet"), Path(name), registry=registry)
    assert Path("a.sealed").read_bytes()[-64:] != Path("b.sealed").read_bytes()[-64:]


@pytest.mark.parametrize(("name", "read"), [("s.parquet", pq.read_table), ("s.csv", pyarrow.csv.read_csv)])
def test_plain_follows_the_suffix(registry: Path, name: str, read: object) -> None:
    predict(Path("table.parquet"), Path(name), plain=True, registry=registry)
    table = read(name)  # type: ignore[operator]
    np.testing.assert_allclose(table["probability"].to_numpy(), _expected(), atol=1e-9)


def test_a_csv_table_scores_as_the_same_parquet(registry: Path) -> None:
    pyarrow.csv.write_csv(pq.read_table("table.parquet"), "table.csv")
    predict(Path("table.csv"), Path("s.parquet"), plain=True, registry=registry)
    np.testing.assert_allclose(pq.read_table("s.parquet")["probability"].to_numpy(), _expected(), atol=1e-9)


def test_a_column_of_missing_values_has_no_type_and_scores_all_the_same(registry: Path) -> None:
    table = pq.read_table("table.parquet")
    for column in ("age", "state"):
        table = table.set_column(table.column_names.index(column), column, pa.nulls(30))
    pq.write_table(table, "missing.parquet")
    predict(Path("missing.parquet"), Path("s.parquet"), plain=True, registry=registry)
    raw = rows(30)
    raw["age"][:], raw["state"][:] = np.nan, None
    expected = bundle().scorer().probability(raw)
    np.testing.assert_allclose(pq.read_table("s.parquet")["probability"].to_numpy(), expected, atol=1e-9)


def test_an_existing_file_stays_unless_forced(registry: Path) -> None:
    out = Path("s.csv")
    out.write_text("mine")
    with pytest.raises(UsageError, match=r"s\.csv exists.*--force"):
        predict(Path("table.parquet"), out, plain=True, registry=registry)
    assert out.read_text() == "mine"
    predict(Path("table.parquet"), out, plain=True, force=True, registry=registry)
    assert out.read_text() != "mine"


def test_another_plain_format_is_refused(registry: Path) -> None:
    with pytest.raises(UsageError, match=r"\.parquet or \.csv"):
        predict(Path("table.parquet"), Path("s.xlsx"), plain=True, registry=registry)


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("age", pa.array(["x"] * 30), "'age' holds text; the deployed model needs numbers"),
        ("state", pa.array([0.5] * 30), "'state' holds numbers; the deployed model needs text"),
    ],
)
def test_a_column_of_another_kind_is_named(
    registry: Path, column: str, values: pa.Array, message: str
) -> None:
    table = pq.read_table("table.parquet")
    pq.write_table(table.set_column(table.column_names.index(column), column, values), "other.parquet")
    with pytest.raises(DataError, match=message) as refused:
        predict(Path("other.parquet"), Path("s.sealed"), registry=registry)
    assert not any(state in str(refused.value) for state in STATES)
    assert not Path("s.sealed").exists()


def test_a_missing_column_is_named(registry: Path) -> None:
    pq.write_table(pq.read_table("table.parquet").drop_columns(["gain"]), "narrow.parquet")
    with pytest.raises(DataError, match="'gain'"):
        predict(Path("narrow.parquet"), Path("s.sealed"), registry=registry)


def test_nothing_deployed_is_named(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="lockstep run"):
        predict(tmp_path / "table.csv", tmp_path / "s.sealed", registry=tmp_path)


def test_deploy_takes_its_arguments_from_the_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text(
        "stages:\n  deploy:\n    cmd: >-\n      python -m tasks.deploy --encoder 'a b'\n      --model m\n"
    )
    received: list[list[str]] = []
    monkeypatch.setattr("tasks.deploy.main", received.append)
    serving.deploy()
    assert received == [["--encoder", "a b", "--model", "m"]]


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ("stages: {}", "no stage `deploy`"),
        ("[]", "no stage `deploy`"),
        ("stages: {deploy: {cmd: ./deploy.sh}}", "by hand"),
        ("stages: {deploy: {cmd: [a, b]}}", "no stage `deploy`"),
        ("{", "no YAML"),
        (None, "not here"),
    ],
)
def test_deploy_without_its_stage_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, graph: str | None, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if graph is not None:
        Path("dvc.yaml").write_text(graph)
    with pytest.raises(UsageError, match=message):
        serving.deploy()


def test_the_champions_directory(registry: Path) -> None:
    assert champion_directory() is None
    Path("params.yaml").write_text("deploy: {name: income}\n")
    assert champion_directory() == Path("registry/income/1")
    Path("params.yaml").write_text("deploy: {name: other}\n")
    assert champion_directory() is None
