"""A project as `debias` leaves it, for what trains beside the pipeline."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml

from lockstep.data import decorrelation
from lockstep.data.tables import SCHEMA, to_parquet
from lockstep.sealing.vault import open_vault
from tests.conftest import ROOT, set_up_keys
from tests.conftest import stages as stages_of
from tests.flows.conftest import write

CANARY = "canary-4711"
STAGES = ("resample", "train")


def table(n_rows: int, seed: int) -> pa.Table:
    """Rows whose class follows from two features, of which many rows share both."""
    rng = np.random.default_rng(seed)
    size, word = rng.integers(0, 40, n_rows), rng.choice(["a", "b", CANARY], n_rows)
    positive = rng.random(n_rows) < 0.1 + 0.5 * (size > 25)
    return pa.table({"size": size, "word": word, "y": np.where(positive, "yes", "no")})


def debiased_project(made: Path) -> Path:
    """Make a project that has the sealed rows of train and validation, and no test row anywhere."""
    shutil.copytree(ROOT / "tasks", made / "tasks", dirs_exist_ok=True)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"].update(target="y", positive="yes", sensitive=[], not_features=[], split_column=None)
    params["train"].update(epochs=1, min_steps=0, ensemble="none", batch_size=64, hidden=[8])
    stages = {name: stage for name, stage in stages_of(ROOT).items() if name in STAGES}
    for stage in stages.values():
        stage["deps"] = [dep for dep in stage["deps"] if not dep.endswith(".py")]
    write(made, {"params.yaml": yaml.safe_dump(params), "dvc.yaml": yaml.safe_dump({"stages": stages})})
    set_up_keys(made)
    vault = open_vault(params["project"], made / "lockstep.key-id")
    for seed, (part, n_rows) in enumerate({"train": 500, "validation": 100}.items()):
        path = made / f"data/debiased/{part}.parquet.sealed"
        vault.write(path, to_parquet(table(n_rows, seed)), role=f"debiased-{part}", schema=SCHEMA)
    vault.write(
        made / "data/debiased/transform.sealed",
        decorrelation.to_json(None),
        role="transform",
        schema=decorrelation.SCHEMA,
    )
    return made


def split_project(made: Path) -> Path:
    """Make a project that has the sealed rows of train and validation as `split` leaves them, none of them numeric."""
    shutil.copytree(ROOT / "tasks", made / "tasks", dirs_exist_ok=True)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["data"].update(target="y", positive="yes", sensitive=["side"], not_features=[], split_column=None)
    params["train"].update(epochs=1, min_steps=0, ensemble="none", batch_size=64, hidden=[8])
    params["evaluate"].update(min_group_rows=30, min_group_positives=3, bootstrap_samples=100)
    params["evaluate"]["gates"].update(
        demographic_parity_difference={"side": 1.0}, equalized_odds_difference={"side": 1.0}
    )
    wanted = ("debias", "resample", "train", "compress", "evaluate")
    stages = {name: stage for name, stage in stages_of(ROOT).items() if name in wanted}
    for stage in stages.values():
        stage["deps"] = [dep for dep in stage["deps"] if not dep.endswith(".py")]
    sides = {"column": "side", "value_set": ["left", "right"]}
    expected = {"type": "expect_column_values_to_be_in_set", "kwargs": sides}
    suite = json.dumps({"name": "suite", "expectations": [expected]})
    files = {"params.yaml": yaml.safe_dump(params), "dvc.yaml": yaml.safe_dump({"stages": stages})}
    write(made, {**files, "data/expectations.json": suite})
    set_up_keys(made)
    vault = open_vault(params["project"], made / "lockstep.key-id")
    for seed, (part, n_rows) in enumerate({"train": 500, "validation": 300}.items()):
        rows = table(n_rows, seed)
        words = pa.array([f"size {size}" for size in rows["size"].to_pylist()])
        side = np.random.default_rng(100 + seed).choice(["left", "right"], n_rows)
        rows = rows.set_column(0, "size", words).append_column("side", pa.array(side))
        vault.write(made / f"data/split/{part}.parquet.sealed", to_parquet(rows), role=part, schema=SCHEMA)
    return made
