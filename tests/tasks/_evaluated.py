"""A workspace that has been evaluated and not deployed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from lockstep.bundle.decision import DECISION_SCHEMA, Decision
from lockstep.data.encoding import ENCODER_SCHEMA
from lockstep.data.labels import labels_of
from lockstep.data.project import MAY_BE_WORSE
from lockstep.data.tables import SCHEMA, raw_columns, to_parquet
from lockstep.sealing.vault import open_vault
from tasks._predictions import predictions
from tests.conftest import ROOT
from tests.lockstep.bundle.candidate import POSITIVE, PROJECT, bundle, encoder_and_model, rows, vault
from tests.tasks.test_deploy import REPORTS, an_evaluation

N_ROWS = 600


def evaluated_workspace() -> None:
    """Make the working directory one."""
    document = {
        "project": PROJECT,
        "data": {"target": "income", "positive": POSITIVE},
        "card": {"intended_use": None, "out_of_scope": None, "owner": "A <Team>", "contact": None},
        "deploy": {"name": "income", "champion": MAY_BE_WORSE},
        "evaluate": {"bootstrap_samples": 100, "seed": 1},
    }
    Path("params.yaml").write_text(yaml.safe_dump(document))
    keys = json.loads(Path(os.environ["LOCKSTEP_KEYRING"]).read_text()) if vault() else {}
    Path("lockstep.key-id").write_text(keys["active"] + "\n")
    sealer = open_vault(PROJECT, Path("lockstep.key-id"))
    encoder, model = encoder_and_model()
    sealer.write("models/encoder.sealed", encoder, role="encoder", schema=ENCODER_SCHEMA)
    sealer.write("models/shipped.sealed", model, role="model", schema="litert/1")
    Path("reports").mkdir()
    answered()
    for path in REPORTS:
        Path(path).write_text("epoch\n1\n" if path.endswith(".tsv") else "{}\n")
    evaluated(an_evaluation())
    Path("approvals.json").write_text("[]\n")


def held_out_rows() -> pa.Table:
    """Test rows as `debias` leaves them; the higher the candidate ranks one, the likelier it is positive."""
    raw = rows(N_ROWS, seed=8)
    rank = bundle().scorer().probability(raw).argsort().argsort()
    positive = np.random.default_rng(8).random(N_ROWS) < (rank / N_ROWS) ** 3
    return pa.table({**raw, "income": np.where(positive, POSITIVE, "under 50k")})


def answered(test: pa.Table | None = None, probability: Any = None) -> None:
    """Leave test rows and what the candidate answered to them, as `debias` and `evaluate` do."""
    test = held_out_rows() if test is None else test
    labels = labels_of(test, "income", POSITIVE)
    if probability is None:
        probability = (
            bundle().scorer().probability(raw_columns(test, [c for c in test.column_names if c != "income"]))
        )
    found = predictions(labels, probability, (probability > 0.5).astype(int), {})
    sealer = open_vault(PROJECT, Path("lockstep.key-id"))
    sealer.write("data/debiased/test.parquet.sealed", to_parquet(test), role="debiased-test", schema=SCHEMA)
    sealer.write("reports/predictions.parquet.sealed", to_parquet(found), role="predictions", schema=SCHEMA)


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
