"""A workspace that has been evaluated and not deployed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import yaml

from lockstep.bundle.decision import DECISION_SCHEMA, Decision
from lockstep.data.encoding import ENCODER_SCHEMA
from lockstep.sealing.vault import open_vault
from tests.conftest import ROOT
from tests.lockstep.bundle.candidate import POSITIVE, PROJECT, encoder_and_model, vault
from tests.tasks.test_deploy import REPORTS, an_evaluation


def evaluated_workspace() -> None:
    """Make the working directory one."""
    document = {
        "project": PROJECT,
        "data": {"target": "income", "positive": POSITIVE},
        "card": {"intended_use": None, "out_of_scope": None, "owner": "A <Team>", "contact": None},
        "deploy": {"name": "income"},
    }
    Path("params.yaml").write_text(yaml.safe_dump(document))
    keys = json.loads(Path(os.environ["LOCKSTEP_KEYRING"]).read_text()) if vault() else {}
    Path("lockstep.key-id").write_text(keys["active"] + "\n")
    sealer = open_vault(PROJECT, Path("lockstep.key-id"))
    encoder, model = encoder_and_model()
    sealer.write("models/encoder.sealed", encoder, role="encoder", schema=ENCODER_SCHEMA)
    sealer.write("models/shipped.sealed", model, role="model", schema="litert/1")
    Path("reports").mkdir()
    for path in REPORTS:
        Path(path).write_text("epoch\n1\n" if path.endswith(".tsv") else "{}\n")
    evaluated(an_evaluation())
    Path("approvals.json").write_text("[]\n")


def evaluated(evaluation: dict[str, Any]) -> None:
    """Leave what `evaluate` leaves: its report, and how the candidate decides."""
    Path("reports/evaluation.json").write_text(json.dumps(evaluation) + "\n")
    rule = Decision(evaluation.get("metrics", {"threshold": 0.5})["threshold"]).to_json()
    sealer = open_vault(PROJECT, Path("lockstep.key-id"))
    sealer.write("models/decision.sealed", rule, role="decision", schema=DECISION_SCHEMA)


def deploy_arguments() -> list[str]:
    """What dvc.yaml hands to `deploy`."""
    command: str = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["deploy"]["cmd"]
    return command.split()[3:]
