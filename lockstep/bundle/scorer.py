"""The shipped model: an encoder and a LiteRT network. `compress`, `evaluate` and the server score with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.data.encoding import Encoder
from lockstep.data.features import Compact, Features, slices
from lockstep.errors import ModelError

MODEL_SCHEMA = "litert/1"
"""Schema that stands in the context of a sealed LiteRT model."""

_BATCH = 4096
_OTHER_TRAINING = "Model and encoder come from different trainings. Run `train` and `compress` again."


class Scorer:
    """Calibrated probability of the positive class, or of each of three classes or more.

    Parameters
    ----------
    encoder
        Encodes raw columns.
    model
        LiteRT flatbuffer with the inputs ``codes`` (int32) and, unless every column is a category,
        ``numeric`` (float32), and one output, the calibrated logits.
    threads
        Threads of one call.

    Raises
    ------
    ModelError
        The bytes are no LiteRT model or expect another encoder.

    Notes
    -----
    Not safe for use by two threads at once: an interpreter owns its input buffers.
    """

    def __init__(self, encoder: Encoder, model: bytes, threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self.encoder = encoder
        try:
            self._interpreter = Interpreter(model_content=model, num_threads=threads)
        except (ValueError, RuntimeError):
            raise ModelError(
                "The shipped model is no LiteRT flatbuffer. Run the stage `compress` again."
            ) from None
        self._inputs = {
            "codes" if detail["dtype"] == np.int32 else "numeric": detail
            for detail in self._interpreter.get_input_details()
        }
        widths = {"codes": encoder.n_coded, "numeric": encoder.numeric_width}
        for name, detail in self._inputs.items():
            if detail["shape_signature"][-1] != widths[name]:
                raise ModelError(_OTHER_TRAINING)
        output = self._interpreter.get_output_details()[0]
        self._output, self._width = output["index"], len(encoder.classes) or 1
        if output["shape_signature"][-1] != self._width:
            raise ModelError(_OTHER_TRAINING)
        self._rows = 0

    def probability(self, table: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
        """Score n rows of raw columns; the answer is as that of `score`."""
        return self.score(self.encoder.encode_compact(table))

    def score(self, features: Features | Compact) -> npt.NDArray[np.float64]:
        """Score n encoded rows; the answer is float64 of shape (n,), or (n, k) of each of k classes."""
        parts = [self._logits(part) for part in slices(features, _BATCH)]
        logits = np.concatenate(parts) if parts else np.empty((0, self._width))
        if self._width == 1:
            return np.asarray(1.0 / (1.0 + np.exp(-logits[:, 0])))
        # Without the largest, which cancels out: its exponential may be infinite.
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))

    def _logits(self, features: Features) -> npt.NDArray[np.float64]:
        rows = len(features.codes)
        if rows != self._rows:
            for detail in self._inputs.values():
                self._interpreter.resize_tensor_input(detail["index"], [rows, int(detail["shape"][-1])])
            self._interpreter.allocate_tensors()
            self._rows = rows
        for name, detail in self._inputs.items():
            self._interpreter.set_tensor(detail["index"], getattr(features, name))
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output).astype(np.float64)
