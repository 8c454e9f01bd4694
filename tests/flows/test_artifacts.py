"""What the UI shows of a stage's report: tables and pictures under stable keys, and none for other stages."""

from __future__ import annotations

import asyncio
import base64
import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import httpx
import pytest

from flows import _artifacts
from lockstep.bundle.manifest import Manifest
from tasks._champion import COMPARISON
from tests.flows.conftest import write

GROUPS = {
    name: {
        "n_rows": 200,
        "n_positive": 30,
        "selection_rate": 0.1,
        "true_positive_rate": 0.5,
        "false_positive_rate": 0.01,
    }
    for name in ("Female", "Male")
}
GATE = {
    "gate": "roc_auc", "figure": 0.95312, "interval": [0.94, 0.96], "threshold": 0.9, "direction": "at least",
    "n_rows": 400, "verdict": "pass", "left_out": [],
}  # fmt: skip
REPORTS: dict[str, Any] = {
    "validate.json": {
        "n_rows": 400,
        "n_expectations": 3,
        "n_failed": 0,
        "results": [
            {"expectation": kind, "passed": True, "column": column, "observed": "1"}
            for kind, column in (("not_null", "age"), ("not_null", "sex"), ("in_set", "sex"))
        ],
    },
    "debias.json": {
        "associations": {"age": {"sex": 0.1}, "title": {"sex": 0.9}},
        "proxies_dropped": ["title"],
        "sensitive_dropped": ["sex"],
    },
    "resample.json": {
        "method": "over",
        "before": {"n_rows": 100, "n_positive": 5},
        "after": {"n_rows": 105, "n_positive": 10, "n_made": 5},
    },
    "evaluation.json": {
        "verdict": "pass",
        "n_test": 400,
        "metrics": {"roc_auc": 0.95312, "brier": 0.03},
        "intervals": {"roc_auc": [0.94, 0.96]},
        "unseen": {"n_test": 300, "metrics": {"roc_auc": 0.93, "brier": 0.04}},
        "gates": [GATE],
        "fairness": {
            "sex": {
                "groups": GROUPS,
                "evidence": {
                    "demographic_parity_difference": {"figure": 0.02, "left_out": []},
                    "equalized_odds_difference": {"figure": None, "left_out": ["Female"]},
                },
            }
        },
    },
    "roc.json": [
        {"false_positive_rate": i / 10, "true_positive_rate": 1 - (1 - i / 10) ** 3} for i in range(11)
    ],
    "pr.json": [{"recall": i / 10, "precision": 1 - i / 20} for i in range(11)],
}
CHAMPION = Manifest(
    "demo",
    "income",
    "income",
    "yes",
    "no",
    0.5,
    (),
    "",
    "pass",
    [],
    {"roc_auc": 0.951, "f1": 0.5},
    version="7",
)
WRITES = {
    "validate": ["validate.json"],
    "debias": ["debias.json"],
    "resample": ["resample.json"],
    "evaluate": ["evaluation.json", "roc.json", "pr.json"],
    "mine": ["mine.json"],
}


@pytest.fixture
def artifacts(repository: Any, flow: Any, server: str) -> dict[str, dict[str, Any]]:
    """Those of a run, by key."""
    graph = {
        "stages": {
            stage: {
                "cmd": " && ".join(f"cp made/{name} reports/{name}" for name in names),
                "deps": [f"made/{name}" for name in names],
                "outs": [f"reports/{name}" for name in names],
            }
            for stage, names in WRITES.items()
        }
    }
    made = {f"made/{name}": json.dumps(report) for name, report in {**REPORTS, "mine.json": {}}.items()}
    root: Path = repository(
        **made,
        **{
            "dvc.yaml": json.dumps(graph),
            "reports/.keep": "",
            "params.yaml": "deploy: {name: income}",
            "registry/income/champion.json": '{"version": "7"}',
            "registry/income/7/manifest.json": CHAMPION.to_json().decode(),
        },
    )
    state = flow(root)
    assert state.is_completed(), state.message
    found = of_run(server, state)
    assert flow(root).message == "0 of 5 stages ran."
    write(root, {"made/mine.json": "[]"})
    assert of_run(server, flow(root)) == []
    return {artifact["key"]: artifact for artifact in found}


def of_run(server: str, state: Any) -> list[dict[str, Any]]:
    body = {"artifacts": {"flow_run_id": {"any_": [str(state.state_details.flow_run_id)]}}}
    found: list[dict[str, Any]] = httpx.post(f"{server}/artifacts/filter", json=body).json()
    return found


def test_reports_become_artifacts(artifacts: dict[str, dict[str, Any]]) -> None:
    assert set(artifacts) == {"validation", "bias", "balance", "report", "metrics", "groups", "roc", "pr"}
    tables = {key: json.loads(a["data"]) for key, a in artifacts.items() if a["type"] == "table"}
    assert tables["validation"] == [
        {"expectation": "in_set", "passed": 1, "failed": 0},
        {"expectation": "not_null", "passed": 2, "failed": 0},
    ]
    assert tables["bias"] == [
        {"feature": "title", "sex": 0.9, "dropped": "as a proxy"},
        {"feature": "age", "sex": 0.1, "dropped": ""},
    ]
    assert [(row["positive"], row["share"]) for row in tables["balance"]] == [(5, "0.0500"), (10, "0.0952")]
    assert [row["group"] for row in tables["groups"]] == ["Female", "Male"]
    said = artifacts["groups"]["description"]
    assert "equalized odds difference unknown (without Female: too few rows)" in said
    assert artifacts["report"]["data"].startswith("[reports/evaluation.json](file:///")
    metrics = artifacts["metrics"]
    assert metrics["type"] == "markdown"
    assert "**Verdict: pass**" in metrics["data"]
    assert "| 300 unseen rows | champion (version 7) |" in metrics["data"]
    assert "| roc_auc | 0.9531 | 0.9400 to 0.9600 | 0.9300 | 0.9510 |" in metrics["data"]
    assert "| brier | 0.0300 |  | 0.0400 |  |" in metrics["data"]
    assert "| roc_auc | 0.9531 | 0.9400 to 0.9600 | at least 0.9 | 400 | pass |" in metrics["data"]
    assert metrics["description"] == "Report: reports/evaluation.json"
    assert all(artifact["task_run_id"] for artifact in artifacts.values())
    for key in ("roc", "pr"):
        kind, _, content = artifacts[key]["data"].partition(",")
        assert (artifacts[key]["type"], kind) == ("image", "data:image/svg+xml;base64")
        picture = ET.fromstring(base64.b64decode(content))
        [line] = picture.iter("{http://www.w3.org/2000/svg}polyline")
        points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
        assert len(points) == len(REPORTS[f"{key}.json"])
        assert [x for x, _ in points] == sorted(x for x, _ in points)


def test_metrics_before_the_first_champion() -> None:
    text = _artifacts._metrics(REPORTS["evaluation.json"], None)
    assert "| roc_auc | 0.9531 | 0.9400 to 0.9600 | 0.9300 |\n" in text
    assert "champion" not in text


def test_how_the_new_champion_stands_beside_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made: list[tuple[Any, str, str]] = []

    async def create(table: Any, key: str, description: str) -> None:
        made.append((table, key, description))

    monkeypatch.setattr(_artifacts, "acreate_table_artifact", create)
    gate = {**GATE, "gate": "champion:brier", "figure": 0.00054, "interval": [-0.0001, 0.0012]}
    unknown = {**gate, "figure": None, "interval": None, "verdict": "insufficient evidence"}
    comparison = {"version": "7", "n_rows": 1400, "gates": [{**gate, "direction": "at most"}, unknown]}
    write(tmp_path, {str(COMPARISON): json.dumps(comparison)})
    asyncio.run(_artifacts.publish("deploy"))
    [([row, without], key, description)] = made
    assert (key, row["figure"], row["95 % interval"]) == ("champion", "0.00054", "-0.00010 to 0.0012")
    assert (row["threshold"], row["verdict"], without["figure"]) == ("at most 0.9", "pass", "")
    assert description.startswith("Beside version 7, which it was compared with, on 1,400 test rows")
    write(tmp_path, {str(COMPARISON): "{}"})
    asyncio.run(_artifacts.publish("deploy"))
    assert len(made) == 1
