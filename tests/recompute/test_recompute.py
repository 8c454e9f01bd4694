"""A run's card says what its tables, models and predictions say; the recomputation would see it if it did not."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows._card import write_card
from lockstep.bundle.contents import project_vault
from lockstep.bundle.digest import content_digest
from lockstep.bundle.registry import Registry
from lockstep.evaluation.champion_gates import not_comparable
from tests.conftest import arguments, stages
from tests.recompute.champion import comparison
from tests.recompute.compare import About, compare
from tests.recompute.expected import NOT_RECOMPUTED, expected
from tests.recompute.run import Run


def test_the_walk_sees_wrong_missing_and_unnamed_numbers() -> None:
    card = {"a": {"x": 0.5, "n": 3, "words": "pass"}, "b": [1.0, 2.0], "c": {"seconds": 9.1}}
    reasons = {r"/c/.*": "a clock gave it"}
    good = {"a": {"x": 0.5 + 1e-10, "n": 3, "words": "pass"}, "b": [1.0, About(2.1, 0.2)]}
    found = compare(card, good, reasons)
    assert (found.equal, found.wrong, found.named) == (5, [], {"a clock gave it": ["/c/seconds"]})
    wrong = {"a": {"x": 0.5001, "n": 4, "words": "fail"}, "b": [None, About(2.5, 0.2), 3.0]}
    assert [line.split(":")[0] for line in compare(card, wrong, reasons).wrong] == [
        "/a/x", "/a/n", "/a/words", "/b/0", "/b/1", "/b/2",
    ]  # fmt: skip
    assert compare(card, {}, reasons).wrong == [
        f"{path} is neither recomputed nor named"
        for path in ("/a/x: 0.5", "/a/n: 3", "/b/0: 1.0", "/b/1: 2.0")
    ]


def test_it_shares_no_code_with_what_it_checks() -> None:
    for module in Path(__file__).parent.glob("[!t]*.py"):
        lines = [
            line for line in module.read_text().splitlines() if re.match(r"(from|import) ", line.strip())
        ]
        assert not [
            line for line in lines if re.search(r"lockstep\.(evaluation|fairness)|\btasks\b", line)
        ], module


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_number_of_a_card_is_recomputed(small_project: Path, tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(small_project, project)
    # So a person's `lockstep cross-validate` leaves it.
    (project / "reports" / "cross_validation.json").write_text('{"n_folds": 5}\n')
    _deploy_beside_another(project)
    write_card(project)
    run = Run(project)
    recomputed = expected(run)
    found = compare(run.card, recomputed, NOT_RECOMPUTED)
    assert found.wrong == []
    assert found.equal > 2000
    assert set(found.named) == set(NOT_RECOMPUTED.values())
    assert [line.split(":")[0] for line in compare(_altered(run.card), recomputed, NOT_RECOMPUTED).wrong] == [
        "/reports/split/test/n_rows",
        "/reports/evaluation/intervals/brier/1",
        "/reports/evaluation/membership/attacks/loss/roc_auc",
        "/reports/evaluation/robustness/curves/pgd/0/lost",
        "/reports/evaluation/gates/0/verdict",
        "/comparison/gates/1/interval/0",
    ]


def _deploy_beside_another(project: Path) -> None:
    """Let the candidate replace a champion that does not know the most frequent category of a column."""
    registry = Registry(project / "registry", "income")
    served = registry.load_champion()
    encoder = json.loads(served.encoder)
    column = next(column for column in encoder["columns"] if column["name"] == "education")
    column["values"] = [f"no {value}" for value in column["values"]]
    changed = json.dumps(encoder).encode()
    vault = project_vault(served.manifest.project)
    manifest = replace(
        served.manifest, candidate=content_digest(vault, changed, served.model, served.decision)
    )
    other = replace(served, manifest=manifest, encoder=changed)
    registry.publish(other, vault, lambda directory: None, registry.pointer())
    stage = arguments(stages(project)["deploy"])
    subprocess.run([sys.executable, "-m", "tasks.deploy", *stage], cwd=project, check=True)


def _altered(card: Any) -> Any:
    """The card with numbers that are off by little, and a verdict turned around."""
    altered = copy.deepcopy(card)
    altered["reports"]["split"]["test"]["n_rows"] += 1
    evaluation = altered["reports"]["evaluation"]
    evaluation["intervals"]["brier"][1] += 1e-4
    evaluation["membership"]["attacks"]["loss"]["roc_auc"] -= 1e-4
    evaluation["robustness"]["curves"]["pgd"][0]["lost"] += 1e-4
    evaluation["gates"][0]["verdict"] = "fail"
    altered["comparison"]["gates"][1]["interval"][0] -= 1e-4
    return altered


def test_a_champion_without_answers_is_no_riddle() -> None:
    declared = {"roc_auc": 0.02, "average_precision": 0.05, "brier": 0.01}
    gates = [gate.as_dict() for gate in not_comparable(declared, 7)]
    card = {"comparison": {"not_compared": "a column is gone", "n_rows": 7, "gates": gates, "figures": None}}
    run: Any = SimpleNamespace(
        card=card, params={"deploy": {"champion": declared}}, table=lambda *_: range(7)
    )
    assert compare(card, {"comparison": comparison(run)}, {}).wrong == []
