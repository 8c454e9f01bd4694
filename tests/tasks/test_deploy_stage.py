"""`deploy` as a stage and by command: what it leaves in the registry, and what it leaves alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lockstep.bundle.contents import MODEL
from lockstep.bundle.registry import Registry
from lockstep.errors import LockstepError, NotPromoted, ParameterError, SealDamaged
from lockstep.sealing.vault import open_vault
from tasks._provenance import digest_of
from tasks.deploy import main
from tests.conftest import ROOT
from tests.lockstep.bundle.candidate import PROJECT, STATES, encoder_and_model
from tests.tasks._evaluated import deploy_arguments, evaluated, evaluated_workspace
from tests.tasks.test_deploy import a_failure, an_evaluation


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace that has been evaluated, as the current directory."""
    monkeypatch.chdir(tmp_path)
    evaluated_workspace()
    return tmp_path


_ROC = [{"false_positive_rate": x, "true_positive_rate": x} for x in (0.001, 0.1, 1.0)]


def _tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_it_deploys(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _trained()
    Path(".lockstep/measured/evaluate.json").write_text(
        '{"seconds": 1.0, "made": {"path": "x", "sha256": "y"}}'
    )
    main(deploy_arguments())
    assert "income version 1 (new) is deployed" in capsys.readouterr().out
    deployed = Registry(Path("registry"), "income").load_champion()
    assert (deployed.encoder, deployed.model) == encoder_and_model()
    assert deployed.manifest.measured == {"train": {"seconds": 9.5}}
    assert deployed.manifest.created
    assert deployed.manifest.git_revision == "c0ffee"
    assert json.loads(Path("reports/deploy.json").read_bytes())["candidate"] == deployed.manifest.candidate
    card = Path("registry/income/1/model_card.html").read_text()
    assert "equalized odds difference, sex" in card
    assert "A &lt;Team&gt;" in card
    assert json.loads(Path("registry/income/1/model_card.json").read_bytes())["measured"] == {
        "train": {"seconds": 9.5}
    }
    stored = b"".join(_tree(project).values())
    assert not any(state.encode() in stored for state in STATES)


def test_the_card_in_the_bundle_has_what_was_asked_of_this_model_beside_the_pipeline(project: Path) -> None:
    candidate = json.loads(Path("reports/evaluation.json").read_bytes())["candidate"]
    for name, of in (("lira", candidate), ("learning_curve", "of another model")):
        found = {"candidate": of, "networks": 8, "attack": {"roc_auc": 0.51, "roc": _ROC}}
        Path(f"reports/{name}.json").write_text(json.dumps(found) + "\n")
    main(deploy_arguments())
    card = json.loads(Path("registry/income/1/model_card.json").read_bytes())
    assert card["reports"]["lira"]["networks"] == 8
    assert "learning_curve" not in card["reports"]
    assert "LiRA, the likelihood-ratio attack" in Path("registry/income/1/model_card.html").read_text()


def _trained() -> None:
    """What `train` recorded as it made the report that lies there."""
    run = {"git_revision": "c0ffee", "uncommitted_changes": False, "versions": {"python": "3.11.9"}}
    record = {"seconds": 9.5, "run": run, "made": digest_of(Path("reports/train.json"))}
    Path(".lockstep/measured").mkdir(parents=True)
    Path(".lockstep/measured/train.json").write_text(json.dumps(record))


def test_the_manifest_names_the_commit_of_the_training(project: Path) -> None:
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *command], check=True)
    _trained()
    main(deploy_arguments())
    assert Registry(Path("registry"), "income").load_champion().manifest.git_revision == "c0ffee"
    lineage = json.loads(Path("registry/income/1/model_card.json").read_bytes())["lineage"]
    assert [(run["stages"], run["git_revision"]) for run in lineage["runs"]] == [
        (["train"], "c0ffee"),
        (["deploy"], lineage["revision_of_the_card"]),
    ]


def test_a_training_that_recorded_its_seconds_alone_is_of_an_unknown_commit(project: Path) -> None:
    Path(".lockstep/measured").mkdir(parents=True)
    Path(".lockstep/measured/train.json").write_text('{"seconds": 9.5}')
    main(deploy_arguments())
    manifest = Registry(Path("registry"), "income").load_champion().manifest
    assert (manifest.git_revision, manifest.measured) == (None, {"train": {"seconds": 9.5}})


def test_deploying_again_changes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(deploy_arguments())
    before = _tree(project)
    main(deploy_arguments())
    assert "version 1 (unchanged)" in capsys.readouterr().out
    after = _tree(project)
    for tree in (before, after):
        del tree[".lockstep/measured/deploy.json"]
    assert after == before


def test_a_new_threshold_is_a_new_version(project: Path) -> None:
    main(deploy_arguments())
    report = Path("reports/deploy.json").read_bytes()
    evaluated(an_evaluation(metrics={"roc_auc": 0.96, "threshold": 0.25}))
    main(deploy_arguments())
    assert Registry(Path("registry"), "income").load_champion().manifest.threshold == 0.25
    assert Path("reports/deploy.json").read_bytes() == report


def test_the_environment_names_another_registry(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.setenv("LOCKSTEP_REGISTRY", str(elsewhere))
    main(deploy_arguments())
    assert Registry(elsewhere, "income").champion() == "1"
    assert not Path("registry").exists()


def _break_model() -> None:
    sealer = open_vault(PROJECT, Path("lockstep.key-id"))
    sealer.write("models/shipped.sealed", b"no model", role="model", schema="litert/1")


def _truncate_model() -> None:
    path = Path("models/shipped.sealed")
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("fault", "error", "message"),
    [
        (lambda: evaluated(a_failure("fail", 0.31)), NotPromoted, "sex: fail"),
        (lambda: evaluated({}), NotPromoted, "evaluation has no"),
        (_break_model, NotPromoted, "another candidate"),
        (_truncate_model, SealDamaged, "models/shipped.sealed"),
        (lambda: Path("models/encoder.sealed").unlink(), LockstepError, "models/encoder.sealed"),
        (lambda: Path("reports/evaluation.json").unlink(), LockstepError, "reports/evaluation.json"),
        (lambda: Path("reports/split.json").unlink(), LockstepError, "reports/split.json does not exist"),
        (lambda: Path("reports/training.tsv").write_text("epoch\n1"), LockstepError, "reports/training.tsv"),
        (lambda: Path("approvals.json").unlink(), LockstepError, "approvals.json does not exist"),
        (lambda: Path("approvals.json").write_text("["), LockstepError, "approvals.json is no JSON"),
        (lambda: Path("approvals.json").write_text("{}"), LockstepError, "approvals.json must hold a list"),
        (
            lambda: Path("params.yaml").write_text("project: tests\n"),
            ParameterError,
            "deploy.name is missing",
        ),
        (
            lambda: Path("params.yaml").write_text(
                Path("params.yaml").read_text().replace("name: income", "name: a/b")
            ),
            ParameterError,
            "deploy.name",
        ),
    ],
)
def test_a_fault_leaves_registry_champion_and_report_as_they_were(
    project: Path, fault: Callable[[], object], error: type[LockstepError], message: str
) -> None:
    main(deploy_arguments())
    fault()
    before = _tree(project)
    with pytest.raises(error, match=message):
        main(deploy_arguments())
    assert _tree(project) == before


def test_a_bundle_that_fails_its_check_is_not_promoted(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main(deploy_arguments())
    evaluated(an_evaluation(metrics={"threshold": 0.25}))
    before = _tree(project)
    monkeypatch.setattr("lockstep.bundle.verify._PROGRAM", "import os; os._exit(9)")
    with pytest.raises(NotPromoted, match="exited with 9"):
        main(deploy_arguments())
    assert _tree(project) == before


def test_a_damaged_champion_is_replaced(project: Path) -> None:
    main(deploy_arguments())
    (Path("registry/income/1") / MODEL).write_bytes(b"rotten")
    main(deploy_arguments())
    assert Registry(Path("registry"), "income").load_champion().manifest.version == "2"


def test_as_a_program_it_ends_in_one_message(project: Path) -> None:
    evaluated(a_failure("fail", 0.31))
    finished = subprocess.run(
        [sys.executable, "-m", "tasks.deploy", *deploy_arguments()],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 1
    assert finished.stderr.startswith("error: The candidate was not promoted: its verdict is 'fail'.")
    assert "Traceback" not in finished.stderr
    assert not Path("registry").exists()
