"""The curve of a training for TensorBoard: `tensorboard --logdir .lockstep/tensorboard`."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from lockstep.models.checkpoints import Epoch


class Scalars:
    """Writes the figures of each epoch into a directory, in place of what was there.

    Parameters
    ----------
    directory
        Scratch: the files hold times and the host's name.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> Self:
        import tensorflow as tf

        shutil.rmtree(self._directory, ignore_errors=True)
        self._writer = tf.summary.create_file_writer(str(self._directory))
        return self

    def write(self, epoch: Epoch) -> None:
        """Add the figures of one epoch."""
        import tensorflow as tf

        figures = asdict(epoch)
        step = figures.pop("epoch")
        with self._writer.as_default(step):
            for name, figure in figures.items():
                tf.summary.scalar(name, figure)
        self._writer.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
