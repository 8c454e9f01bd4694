"""Canaries: values planted in the source, searched for in every byte that the pipeline leaves anywhere."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from lockstep.data import census
from tasks._stage import to_json
from tests.conftest import ANY_LOSS, copy_project
from tests.faults._search import encodings, leaks
from tests.flows.conftest import wait_for

CITY, ODD_NUMBER, NUMBER, WEIGHT = "Kanarienvogel-Zürich", 76_543_210, 87_654_321, 13_579.2468

PLANTED = {
    "an unlisted category": encodings(CITY),
    "a number": encodings(number=NUMBER),
    "another number": encodings(number=ODD_NUMBER),
    "a weight": encodings(str(WEIGHT), WEIGHT),
    "a run": encodings(run=(float(ODD_NUMBER), float(NUMBER))),
}


def _source() -> pa.Table:
    """A slice of the Census table with canaries in several rows, fewer than a category needs to be public."""
    table = pa.concat_tables(census.read_census(part).slice(0, 2500) for part in ("train", "test"))
    rows = [7, 1311, 2600, 4002]

    def planted(name: str, value: Any) -> pa.Table:
        values = table[name].to_pylist()
        for row in rows:
            values[row] = value
        return table.set_column(table.column_names.index(name), name, pa.array(values, table[name].type))

    for name, value in (
        ("state_of_previous_residence", CITY),
        ("capital_gains", ODD_NUMBER),
        ("capital_losses", NUMBER),
        ("instance_weight", WEIGHT),
    ):
        table = planted(name, value)
    # Labels of both kinds among them.
    labels = np.array(table["income"].to_pylist(), dtype=object)
    labels[rows[:2]] = "50000+."
    return table.set_column(table.column_names.index("income"), "income", pa.array(labels))


DOORS = {"flow": ("flows.cli", "run"), "repro": ("dvc", "repro")}


class Workspace:
    """A project whose source lies elsewhere, with a Prefect home and a temporary directory of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.source = root / "source" / "people.parquet"
        self.source.parent.mkdir()
        pq.write_table(_source(), self.source)
        self.project = copy_project(root / "project")
        self.home, self.temporary, self.logs = root / "prefect", root / "tmp", root / "logs"
        for directory in (self.home, self.temporary, self.logs):
            directory.mkdir()
        self.environment = {
            **os.environ,
            "LOCKSTEP_KEYRING": str(root / "keys" / "keyring.json"),
            "PREFECT_HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "HOME": str(root / "home"),
        }
        self.calls = 0

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", *arguments]

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        finished = subprocess.run(
            self.command(*arguments),
            cwd=self.project,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.calls += 1
        (self.logs / f"{self.calls}.log").write_text(finished.stdout + finished.stderr)
        return finished

    def parameter(self, section: str, **values: Any) -> None:
        path = self.project / "params.yaml"
        params = yaml.safe_load(path.read_text())
        params[section].update(values)
        path.write_text(yaml.safe_dump(params, sort_keys=False))

    def leaks(self) -> list[str]:
        subprocess.run(["git", "add", "-A"], cwd=self.project, check=True)
        return leaks([self.root], PLANTED, {self.source})


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace(tmp_path_factory.mktemp("canaries"))
    begun = made.call("flows.cli", "init", str(made.source), "--target", "income", "--sensitive", "sex,race")
    assert begun.returncode == 0, begun.stderr
    made.parameter("train", epochs=2, batch_size=128, hidden=[32])
    made.parameter("compress", calibration_rows=50)
    lenient = {"sex": 1.0, "race": 1.0}
    made.parameter(
        "evaluate",
        bootstrap_samples=100,
        explained_rows=200,
        shap_rows=4,
        min_group_rows=20,
        min_group_positives=2,
        attack_false_positive_rate=0.1,
        gates={
            "roc_auc": 0.0,
            "average_precision": 0.0,
            "brier": 1.0,
            "demographic_parity_difference": lenient,
            "equalized_odds_difference": lenient,
            "explanation_agreement": -1.0,
            "membership_inference": 1.0,
            "membership_inference_auc": 1.0,
            "robustness": ANY_LOSS,
        },
    )
    return made


def test_the_search_finds_a_canary_where_there_is_one(workspace: Workspace) -> None:
    found = leaks([workspace.source.parent], PLANTED, set())
    assert {line.split(": ")[1].split(" as ")[0] for line in found} >= {
        "an unlisted category",
        "a number",
        "a weight",
    }


def test_the_search_finds_a_canary_in_a_report(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(to_json({"category": CITY, "said": f"{NUMBER:,}"}))
    found = leaks([tmp_path], PLANTED, set())
    assert {line.split(": ")[1].split(" as ")[0] for line in found} == {"an unlisted category", "a number"}


@pytest.mark.parametrize("kind", ["gzip", "zstd", "zip", "Parquet", "zip in gzip", "float32"])
def test_the_search_looks_into_containers(tmp_path: Path, kind: str) -> None:
    numbers, path, sink = np.array([ODD_NUMBER, NUMBER]), tmp_path / "file", io.BytesIO()
    if kind == "Parquet":
        pq.write_table(pa.table({"a": [CITY] * 50}), path, compression="brotli")
    elif kind in ("gzip", "zstd"):
        with pa.output_stream(path, compression=kind) as stream:
            stream.write(CITY.encode() * 50)
    elif kind == "float32":
        path.write_bytes(b"." + numbers.astype(">f4").tobytes())
    else:
        np.savez_compressed(sink, numbers=numbers)
        path.write_bytes(gzip.compress(sink.getvalue()) if kind == "zip in gzip" else sink.getvalue())
    found = leaks([tmp_path], PLANTED, set())
    assert any(" in ".join(reversed(kind.split(" in "))) in line for line in found), found


def test_sealing_and_splitting_leave_no_canary(workspace: Workspace) -> None:
    finished = workspace.call("flows.cli", "run", "debias")
    assert finished.returncode == 0, finished.stderr
    assert (workspace.project / "data" / "debiased" / "train.parquet.sealed").is_file()
    assert workspace.leaks() == []


@pytest.mark.faults
def test_the_flow_leaves_no_canary(workspace: Workspace) -> None:
    finished = workspace.call("flows.cli", "run")
    assert finished.returncode == 0, finished.stderr
    assert (workspace.project / "registry").is_dir()
    assert workspace.leaks() == []


@pytest.mark.faults
def test_scores_of_a_table_leave_no_canary(workspace: Workspace) -> None:
    scored = workspace.call("flows.cli", "predict", str(workspace.source), "--out", "scores.parquet.sealed")
    assert scored.returncode == 0, scored.stderr
    assert workspace.leaks() == []


@pytest.mark.faults
def test_repro_leaves_no_canary(workspace: Workspace) -> None:
    finished = workspace.call("dvc", "repro", "--force")
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert workspace.leaks() == []


@pytest.mark.faults
@pytest.mark.parametrize("door", ["flow", "repro"])
def test_a_failed_expectation_leaves_no_canary(workspace: Workspace, door: str) -> None:
    path = workspace.project / "data" / "expectations.json"
    before = path.read_text()
    suite = json.loads(before)
    for expectation in suite["expectations"]:
        if expectation["kwargs"].get("column") in ("state_of_previous_residence", "capital_losses"):
            expectation["kwargs"].pop("mostly", None)
            if "max_value" in expectation["kwargs"]:
                expectation["kwargs"]["max_value"] = 5000
    path.write_text(json.dumps(suite))
    finished = workspace.call(*DOORS[door])
    path.write_text(before)
    assert finished.returncode != 0
    assert "capital_losses" in finished.stdout + finished.stderr
    assert "Traceback" not in finished.stdout + finished.stderr
    assert workspace.leaks() == []


@pytest.mark.faults
@pytest.mark.parametrize("door", ["flow", "repro"])
def test_an_exception_that_quotes_a_row_leaves_no_canary(workspace: Workspace, door: str) -> None:
    path = workspace.project / "tasks" / "split.py"
    before = path.read_text()
    line = "    labels = labels_of(source.read([params.target]), params.target, params.positive)\n"
    assert line in before
    path.write_text(
        before.replace(
            line,
            "    raise ValueError(f'bad row: {source.read(source.schema.names).slice(7, 1).to_pylist()}')\n",
        )
    )
    finished = workspace.call(*DOORS[door])
    path.write_text(before)
    assert finished.returncode != 0
    assert "Unexpected ValueError at split.py" in finished.stdout + finished.stderr
    assert workspace.leaks() == []


@pytest.mark.faults
@pytest.mark.parametrize("door", ["flow", "repro"])
def test_an_exception_inside_a_sampler_leaves_no_canary(workspace: Workspace, door: str) -> None:
    path = workspace.project / "tasks" / "resample.py"
    before = path.read_text()
    line = "    labels = labels_of(train, params.target, params.positive)\n"
    assert line in before
    # A real sampler, given a table that it cannot take, quotes the first value.
    fails = (
        "    from imblearn.over_sampling import SMOTE\n"
        "    column = [[v] for v in train['state_of_previous_residence'].to_pylist() if v and 'vogel' in v]\n"
        "    SMOTE().fit_resample(column * 20, [True] * 10 + [False] * (len(column) * 20 - 10))\n"
    )
    path.write_text(before.replace(line, fails + line))
    workspace.parameter("resample", seed={"flow": 21, "repro": 22}[door])
    finished = workspace.call(*DOORS[door])
    path.write_text(before)
    assert finished.returncode != 0
    assert "Unexpected ValueError at resample.py" in finished.stdout + finished.stderr
    assert workspace.leaks() == []


BAD_ROWS = {
    "with a field too many": f"{CITY},{NUMBER},0,{WEIGHT}".encode(),
    "of another encoding": f"{CITY},{NUMBER},0".encode("utf-16-le"),
    "with text where numbers are": f"Texas,{CITY},{NUMBER}".encode(),
}


@pytest.mark.parametrize(
    ("bad", "door"),
    [pytest.param(bad, door, marks=pytest.mark.faults) for bad in BAD_ROWS for door in DOORS],
)
def test_a_bad_row_leaves_no_canary(workspace: Workspace, door: str, bad: str) -> None:
    names = ["state_of_previous_residence", "capital_gains", "capital_losses"]
    table = workspace.source.with_suffix(".csv")
    rows = pq.read_table(workspace.source).select(names).slice(0, 100).to_pylist()
    lines = [names, *([str(value) for value in row.values()] for row in rows)]
    text = [",".join(line).encode() for line in lines]
    text.insert(50, BAD_ROWS[bad])
    table.write_bytes(b"\n".join(text))
    graph = workspace.project / "dvc.yaml"
    before = graph.read_text()
    graph.write_text(before.replace("people.parquet", "people.csv"))
    finished = workspace.call(*DOORS[door])
    graph.write_text(before)
    assert finished.returncode != 0
    assert (
        "people.csv" in finished.stdout + finished.stderr
        or "capital_gains" in finished.stdout + finished.stderr
    )
    assert "Traceback" not in finished.stdout + finished.stderr
    table.unlink()
    assert workspace.leaks() == []


@pytest.mark.faults
@pytest.mark.parametrize("door", ["flow", "repro"])
def test_a_killed_stage_leaves_no_canary(workspace: Workspace, door: str) -> None:
    workspace.parameter("train", epochs=500, patience=500, seed={"flow": 1, "repro": 2}[door])
    log = workspace.logs / f"killed-{door}.log"
    with log.open("w") as output:
        running = subprocess.Popen(
            workspace.command(*DOORS[door]),
            cwd=workspace.project,
            env=workspace.environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        checkpoints = workspace.project / ".lockstep" / "checkpoints" / "train"
        wait_for(lambda: list(checkpoints.glob("*.sealed")), seconds=200)
        os.killpg(running.pid, signal.SIGKILL)
        running.wait(30)
    workspace.parameter("train", epochs=2, patience=4)
    assert list(checkpoints.glob("*.sealed"))
    assert workspace.leaks() == []
    shutil.rmtree(checkpoints)
