"""What tests of several rooms share: a keyring of their own, and a small copy of the default pipeline."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import absl.logging
import hypothesis
import pytest
import yaml
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent

#: What takes longest begins first: at the end no worker is to wait for another one's file.
LONGEST = (
    "tests/test_two_doors.py",
    "tests/browser/test_ui.py",
    "tests/faults/test_no_plaintext.py",
    "tests/flows/test_equivalence.py",
    "tests/flows/test_faults.py",
    "tests/flows/test_experiments.py",
    "tests/contracts/test_stages.py",
    "tests/lockstep/models/test_ensemble.py",
)

hypothesis.settings.register_profile("fuzz", max_examples=5000, deadline=None)
hypothesis.settings.register_profile("default", max_examples=50, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    turn = {path: number for number, path in enumerate(LONGEST)}
    items.sort(key=lambda item: turn.get(item.location[0], len(LONGEST)))


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return the directory `name` of this run of the tests, filled by `make` in the first worker that asks for it."""
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    made, complete = root / name, root / f"{name}.complete"
    with FileLock(root / f"{name}.lock"):
        if not complete.exists():
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            make(made)
            complete.touch()
    return made


@pytest.fixture(scope="session")
def first_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A keyring that every worker starts from, so that they read what one of them sealed."""

    def make(directory: Path) -> None:
        from lockstep.sealing.keyring import set_up_keys

        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LOCKSTEP_KEYRING", str(directory / "keyring.json"))
            set_up_keys("tests", directory / "lockstep.key-id")

    return made_once(tmp_path_factory, "first-key", make) / "keyring.json"


@pytest.fixture(scope="session", autouse=True)
def _surroundings(tmp_path_factory: pytest.TempPathFactory, first_key: Path) -> Any:
    """Tests see the environment's own python first in PATH, and neither a person's keys nor a person's registry."""
    # A shell that starts the tests in the background has interrupts ignored, and every child would inherit that.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Prefect's set-up of logging closes every handler, and absl's closes the stream that it found: pytest's own.
    absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__
    patch = pytest.MonkeyPatch()
    patch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    keyring = tmp_path_factory.mktemp("keys") / "keyring.json"
    shutil.copy2(first_key, keyring)
    patch.setenv("LOCKSTEP_KEYRING", str(keyring))
    # DVC's report of usage runs on after its command, in the project.
    patch.setenv("DVC_NO_ANALYTICS", "1")
    for who in ("AUTHOR", "COMMITTER"):
        patch.setenv(f"GIT_{who}_NAME", "A Tester")
        patch.setenv(f"GIT_{who}_EMAIL", "tester@example.org")
    for name in ("LOCKSTEP_KEY", "LOCKSTEP_REGISTRY", "LOCKSTEP_SHOW_ERRORS", "DVC_STAGE", "DVC_ROOT"):
        patch.delenv(name, raising=False)
    yield
    patch.undo()


ANY_LOSS = {
    "noise": {"at": 0.1, "loss": 9.0},
    "missing": {"at": 0.1, "loss": 9.0},
    "swapped": {"at": 0.1, "loss": 9.0},
    "fgsm": {"at": 0.1, "loss": 9.0},
    "pgd": {"at": 0.1, "loss": 9.0},
    "flips": {"at": 1, "loss": 9.0},
    "shifted": {"at": 2.0, "loss": 9.0},
}
"""`evaluate.gates.robustness` that no model breaks."""


def copy_project(target: Path) -> Path:
    """Copy what git tracks, as it stands in the working tree, into a new repository at `target`."""
    names = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    for name in names:
        if not name.startswith(("tests/", "docs/", "benchmarks/", "reports/")) and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    for leftover in ("dvc.lock", "lockstep.key-id"):
        (target / leftover).unlink(missing_ok=True)
    subprocess.run(["git", "init", "-q", str(target)], check=True)
    return target


def shrink(project: Path) -> None:
    """Cut the demo down to a fiftieth of its rows and one epoch, with gates that such a model passes."""
    path = project / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["sample"]["share"] = 0.02
    params["train"].update(epochs=1, min_steps=0, batch_size=128, hidden=[32], ample_rows=0)
    params["resample"].update(method="over", ratio=0.1)
    params["compress"]["calibration_rows"] = 50
    params["evaluate"].update(bootstrap_samples=100, explained_rows=200, shap_rows=4)
    params["evaluate"]["gates"] = {
        "roc_auc": 0.6,
        "average_precision": 0.1,
        "brier": 0.1,
        "demographic_parity_difference": {"sex": 1.0, "race": 1.0},
        "equalized_odds_difference": {"sex": 1.0, "race": 1.0},
        "explanation_agreement": -1.0,
        "membership_inference": 1.0,
        "membership_inference_auc": 1.0,
        "robustness": ANY_LOSS,
    }
    params["evaluate"].update(min_group_rows=20, min_group_positives=2, attack_false_positive_rate=0.05)
    params["evaluate"]["robustness"] = {kind: [] for kind in ANY_LOSS}
    params["deploy"]["champion"] = dict.fromkeys(params["deploy"]["champion"], 1.0)
    path.write_text(yaml.safe_dump(params, sort_keys=False))
    suite_path = project / "data" / "expectations.json"
    suite = json.loads(suite_path.read_text())
    for expectation in suite["expectations"]:
        if expectation["type"] == "expect_table_row_count_to_be_between":
            expectation["kwargs"] = {"min_value": 1000, "max_value": 10000}
    suite_path.write_text(json.dumps(suite))


def set_up_keys(project: Path) -> None:
    """Write lockstep.key-id of `project`, making the tests' keyring if it is not there yet."""
    from lockstep.sealing.keyring import set_up_keys

    params = yaml.safe_load((project / "params.yaml").read_text())
    key_id = project / "lockstep.key-id"
    keyring = Path(os.environ["LOCKSTEP_KEYRING"])
    if keyring.exists():
        key_id.write_text(json.loads(keyring.read_text())["active"] + "\n")
    set_up_keys(params["project"], key_id)


def stages(project: Path) -> dict[str, dict[str, Any]]:
    """Stages of the project's dvc.yaml, in its order."""
    return yaml.safe_load((project / "dvc.yaml").read_text())["stages"]


def arguments(stage: dict[str, Any]) -> list[str]:
    """Arguments that dvc.yaml hands to a stage's module."""
    return shlex.split(stage["cmd"])[3:]


def outputs(stage: dict[str, Any]) -> list[str]:
    """Paths that a stage declares as outputs, metrics or plots."""
    declared = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
    return [next(iter(out)) if isinstance(out, dict) else out for out in declared]


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Return a function that makes a directory a Prefect home in which a server starts twice as quickly.

    A new server spends most of its start on the tables of its database: they are made once.
    """

    def make(directory: Path) -> None:
        environment = os.environ | {"PREFECT_HOME": str(directory)}
        command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "-y"]
        subprocess.run(command, env=environment, capture_output=True, check=True)

    def begin(home: Path) -> Path:
        home.mkdir(parents=True, exist_ok=True)
        for file in made_once(tmp_path_factory, "prefect-tables", make).glob("prefect.db*"):
            shutil.copy2(file, home)
        return home

    return begin


@pytest.fixture(scope="session")
def flow_project(tmp_path_factory: pytest.TempPathFactory, prefect_home: Callable[[Path], Path]) -> Path:
    """A small copy of the default project after `lockstep run`."""
    from tests._doors import run_by_flow

    return made_once(tmp_path_factory, "by-flow", partial(run_by_flow, prefect_home)) / "project"


@pytest.fixture(scope="session")
def repro_project(tmp_path_factory: pytest.TempPathFactory, prefect_home: Callable[[Path], Path]) -> Path:
    """A small copy of the default project after `dvc repro`; the notes of its audited stages lie beside it."""
    from tests._doors import run_by_repro

    return made_once(tmp_path_factory, "by-repro", partial(run_by_repro, prefect_home)) / "project"


@pytest.fixture(scope="session")
def small_project(repro_project: Path) -> Path:
    """A small copy of the default project after a run of every stage, without DVC's cache and lock."""
    return repro_project.parent / "small" / "project"
