"""The curve for TensorBoard: written anew by each training, and dispensable."""

from __future__ import annotations

from pathlib import Path

import pytest

from lockstep.models.checkpoints import Epoch
from lockstep.models.scalars import Scalars

EPOCHS = [Epoch(i, 0.5, 0.6, 0.4, 0.001) for i in (1, 2)]


def write(directory: Path) -> None:
    with Scalars(directory) as scalars:
        for epoch in EPOCHS:
            scalars.write(epoch)


def test_each_training_replaces_the_figures_of_the_one_before(tmp_path: Path) -> None:
    write(tmp_path / "train")
    [first] = (tmp_path / "train").iterdir()
    assert b"val_average_precision" in first.read_bytes()
    write(tmp_path / "train")
    assert len(list((tmp_path / "train").iterdir())) == 1


def test_a_directory_that_cannot_be_written_ends_no_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    write(tmp_path / "file" / "train")
    assert capsys.readouterr().err.count("cannot be written") == 1
