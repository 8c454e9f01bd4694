"""A killed `train` resumes from its sealed checkpoint, and from no other, and ends in the same bytes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lockstep.data.tables import SCHEMA, from_parquet, to_parquet
from lockstep.models import checkpoints
from lockstep.models.checkpoints import State
from lockstep.sealing.vault import Vault, open_vault
from tasks import _checkpoint, train
from tasks._checkpoint import SealedCheckpoint
from tasks._params import load_params
from tests.conftest import ROOT, arguments, outputs, stages

EPOCHS = 3
FOLDER = Path(".lockstep/checkpoints/train")

KILLED = """
import os, signal, sys
from tasks import _checkpoint, train

save = _checkpoint.SealedCheckpoint.save

def save_and_die(self, state, member):
    save(self, state, member)
    os.kill(os.getpid(), signal.SIGKILL)

_checkpoint.SealedCheckpoint.save = save_and_die
train.main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def trained(small_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the small project whose `train` ran for three epochs, undisturbed; also the working directory."""
    project = tmp_path_factory.mktemp("trained") / "project"
    shutil.copytree(small_project, project)
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["train"]["epochs"] = EPOCHS
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        train.main(arguments(stages(project)["train"]))
        assert not FOLDER.exists()
        yield project


def contents(project: Path) -> dict[str, bytes]:
    return {out: (project / out).read_bytes() for out in outputs(stages(project)["train"])}


@pytest.mark.slow
def test_a_run_killed_after_each_epoch_ends_in_the_same_bytes(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    project = tmp_path / "project"
    shutil.copytree(trained, project)
    for out in contents(trained):
        (project / out).unlink()
    (project / FOLDER).mkdir(parents=True)
    (project / FOLDER / "stale.sealed").write_bytes(b"of other parameters")
    steps = arguments(stages(project)["train"])
    notices = []
    for _ in range(EPOCHS):
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, *steps],
            cwd=project,
            env=os.environ | {"PYTHONPATH": str(project)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        notices += [line for line in killed.stderr.splitlines() if line.startswith("notice: ")]
        assert len(list((project / FOLDER).glob("*.sealed"))) == 2
        assert not any((project / out).exists() for out in contents(trained))
    assert [line.split(",")[0] for line in notices] == [
        f"notice: training resumes after epoch {epoch}" for epoch in range(1, EPOCHS)
    ]
    # The last kill hit after the last epoch: what is left to do is to calibrate and to write.
    monkeypatch.chdir(project)
    train.main(steps)
    assert f"training resumes after epoch {EPOCHS}" in capsys.readouterr().err
    assert contents(project) == contents(trained)
    assert not (project / FOLDER).exists()


Make = Callable[..., SealedCheckpoint]


def inputs_of(project: Path) -> list[Path]:
    stage = arguments(stages(project)["train"])
    paths = dict(zip(stage[::2], map(Path, stage[1::2]), strict=True))
    return [paths["--train"], paths["--validation"], paths["--transform"]]


@pytest.fixture
def vault(trained: Path) -> Vault:
    return open_vault("census-demo", "lockstep.key-id")


@pytest.fixture
def make(trained: Path, vault: Vault) -> Make:
    """Return a function that makes the checkpoint of `train`; by name, what is different about it."""
    read = [vault.read(path, role=None, schema=None) for path in inputs_of(trained)]

    def checkpoint(**different: Any) -> SealedCheckpoint:
        inputs = different.pop("inputs", read)
        params = load_params(train.TrainParams, "params.yaml").model_copy(update=different)
        return SealedCheckpoint(vault, "train", inputs, params)

    return checkpoint


class Stopped(Exception):
    pass


class Once:
    """Keeps the first state, and stops there."""

    def load(self, member: int = 0) -> None:
        return None

    def save(self, state: State, member: int = 0) -> None:
        self.state = state
        raise Stopped


@pytest.fixture(scope="module")
def after_one_epoch(trained: Path) -> State:
    once = Once()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "SealedCheckpoint", lambda *arguments: once)
        with pytest.raises(Stopped):
            train.main(arguments(stages(trained)["train"]))
    return once.state


@pytest.fixture
def state(make: Make, after_one_epoch: State) -> Iterator[State]:
    """The state after one epoch of training, kept in the checkpoint."""
    make().save(after_one_epoch)
    yield after_one_epoch
    make().discard()


def test_the_same_stage_alone_finds_it(make: Make, state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    found = make().load()
    assert found is not None
    assert checkpoints.to_bytes(found) == checkpoints.to_bytes(state)
    assert make(learning_rate=0.5).load() is None
    assert make(inputs=[b"another table"]).load() is None
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "versions", lambda: {"keras": "4.0"})
        assert make().load() is None
    read = Path.read_bytes
    for module in ("tasks/train.py", "lockstep/models/training.py", "lockstep/__init__.py"):
        with monkeypatch.context() as patch:
            edited = ROOT / module
            patch.setattr(Path, "read_bytes", lambda p, edited=edited: read(p) + b"#" * (p == edited))
            assert make().load() is None, module
    assert make().load() is not None


def test_it_belongs_to_what_was_read_and_not_to_what_lies_there_by_then(
    trained: Path, make: Make, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, *beside = inputs_of(trained)
    before = path.read_bytes()
    kind = {"role": "resampled-train", "schema": SCHEMA}
    other = to_parquet(from_parquet(vault.read(path, **kind)).slice(1))
    read, save = Vault.read, SealedCheckpoint.save

    def read_and_replace(vault: Vault, name: Path, **kinds: str) -> bytes:
        content = read(vault, name, **kinds)
        vault.write(path, other, **kind)
        return content

    def save_and_stop(checkpoint: SealedCheckpoint, state: State, member: int) -> None:
        save(checkpoint, state, member)
        raise Stopped

    try:
        with monkeypatch.context() as patch:
            patch.setattr(Vault, "read", read_and_replace)
            patch.setattr(SealedCheckpoint, "save", save_and_stop)
            with pytest.raises(Stopped):
                train.main(arguments(stages(trained)["train"]))
    finally:
        path.write_bytes(before)
    rest = [vault.read(each, role=None, schema=None) for each in beside]
    assert make(inputs=[other, *rest]).load() is None
    assert make().load() is not None
    make().discard()


def test_its_code_is_what_dvc_yaml_declares() -> None:
    declared = {dep for dep in stages(ROOT)["train"]["deps"] if dep.endswith(".py")}
    files = {name.replace(".", "/") for name in _checkpoint._sources("tasks.train")}
    assert {dep.removesuffix(".py").removesuffix("/__init__") for dep in declared} == files


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "plain", "other key"])
def test_a_damaged_one_is_ignored_with_a_notice(
    make: Make, state: State, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make().path()
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(
        {
            "cut": content[:middle],
            "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
            "empty": b"",
            "plain": checkpoints.to_bytes(state),
            "other key": content.replace(content[8:40], bytes(32)),
        }[damage]
    )
    assert make().load() is None
    assert "cannot be opened: training begins anew" in capsys.readouterr().err


def test_one_that_cannot_be_read_is_ignored_with_a_notice(
    make: Make, state: State, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make().path()
    path.unlink()
    path.mkdir()
    assert make().load() is None
    assert "training begins anew" in capsys.readouterr().err


def test_a_sealed_file_of_another_schema_is_ignored(make: Make, vault: Vault) -> None:
    checkpoint = make()
    vault.write(checkpoint.path(), b"no archive", role="checkpoint", schema=checkpoints.SCHEMA)
    assert checkpoint.load() is None
    vault.write(checkpoint.path(), b"", role="encoder", schema="encoder/1")
    assert checkpoint.load() is None
    checkpoint.discard()


def test_nothing_of_it_lies_in_clear(make: Make, state: State) -> None:
    content = make().path().read_bytes()
    plain = checkpoints.to_bytes(state)
    planted = [values.tobytes()[:16] for values in (*state.variables, *state.optimizer) if values.any()]
    planted += [b"curve.json", b"val_average_precision", plain[:16]]
    assert len(planted) > 10
    assert all(canary in plain for canary in planted)
    assert not any(canary in content for canary in planted)
    # Equal states are not seen to be equal.
    make().save(state)
    assert make().path().read_bytes() != content


def test_training_goes_on_where_it_cannot_be_written(
    make: Make, state: State, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = make().path().read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        make().save(state)
    assert "cannot be written: No space left on device" in capsys.readouterr().err
    assert make().path().read_bytes() == before
