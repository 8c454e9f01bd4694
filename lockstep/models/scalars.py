"""The curve of a training for TensorBoard: `tensorboard --logdir .lockstep/tensorboard`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from lockstep.models.checkpoints import Epoch


class Scalars:
    """Writes the figures of each epoch into a directory, in place of what was there; without room it writes no more.

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
        self._writer: Any = None
        with self._dispensable():
            self._writer = tf.summary.create_file_writer(str(self._directory))
        return self

    def write(self, epoch: Epoch) -> None:
        """Add the figures of one epoch."""
        import tensorflow as tf

        figures = asdict(epoch)
        step = figures.pop("epoch")
        if self._writer is None:
            return
        with self._dispensable():
            with self._writer.as_default(step):
                for name, figure in figures.items():
                    tf.summary.scalar(name, figure)
            self._writer.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            with self._dispensable():
                self._writer.close()

    @contextmanager
    def _dispensable(self) -> Iterator[None]:
        """A training does not end for want of its picture."""
        import tensorflow as tf

        try:
            yield
        except tf.errors.OpError:
            print(f"notice: {self._directory} cannot be written.", file=sys.stderr, flush=True)
            self._writer = None
