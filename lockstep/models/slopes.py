"""How the loss of a trained network changes with its inputs, row by row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.data.features import Features
from lockstep.models.determinism import make_deterministic
from lockstep.models.losses import cross_entropy
from lockstep.models.saving import from_bytes
from lockstep.models.scoring import slices
from lockstep.models.training import one_hot

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int64]


class Slopes:
    """A trained network, differentiated by Keras.

    Parameters
    ----------
    content
        A network as `lockstep.models.saving` writes it.
    seed
        Of TensorFlow's generators; no layer draws from them when it scores.

    Attributes
    ----------
    embeddings : ndarray of float32, shape (n_codes, width)
        Embedding of each code, in all members side by side.
    """

    def __init__(self, content: bytes, seed: int) -> None:
        import keras
        import tensorflow as tf

        make_deterministic(seed)
        network, model = from_bytes(content)
        self._n_classes = max(network.n_outputs, 2)
        tables = [layer for layer in model.layers if isinstance(layer, keras.layers.Embedding)]
        rows = [table.embeddings.numpy() for table in tables]
        self.embeddings: Floats = np.concatenate(rows, axis=1) if rows else np.empty((0, 0), np.float32)
        inner = keras.Model(model.inputs, [*(table.output for table in tables), model.output])
        inputs = {i.name: tf.TensorSpec((None, i.shape[-1]), i.dtype, name=i.name) for i in model.inputs}
        targets = tf.TensorSpec((None, network.n_outputs), tf.float32)

        def losses(given: Any, wanted: Any) -> tuple[Any, Any]:
            answers = inner(given, training=False)
            *embedded, logits = answers if isinstance(answers, list | tuple) else [answers]
            return cross_entropy(wanted[:, None, :], logits[:, None, :])[:, 0], embedded

        # Without AutoGraph, which would write the generated source to a temporary file.
        compiled = tf.function(input_signature=(inputs, targets), autograph=False)

        @compiled
        def loss(given: Any, wanted: Any) -> Any:
            return losses(given, wanted)[0]

        @compiled
        def by_numbers(given: Any, wanted: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(given["numeric"])
                of_rows = losses(given, wanted)[0]
                # A row's loss depends on that row alone.
                total = tf.reduce_sum(of_rows)
            return of_rows, tape.gradient(total, given["numeric"])

        @compiled
        def by_codes(given: Any, wanted: Any) -> Any:
            with tf.GradientTape() as tape:
                of_rows, embedded = losses(given, wanted)
                total = tf.reduce_sum(of_rows)
            return of_rows, tf.concat(tape.gradient(total, embedded), axis=2)

        self._loss, self._by_numbers, self._by_codes = loss, by_numbers, by_codes

    def loss(self, features: Features, codes: Codes) -> Floats:
        """Cross-entropy of n encoded rows, shape (n,); `codes` is the number of each row's class, shape (n,)."""
        return np.concatenate([self._loss(*batch).numpy() for batch in self._batches(features, codes)])

    def by_numbers(self, features: Features, codes: Codes) -> tuple[Floats, Floats]:
        """Cross-entropy as `loss` gives it, and its derivative by each numeric input, shape (n, numeric_width)."""
        if not features.numeric.shape[1]:
            return self.loss(features, codes), np.zeros(features.numeric.shape, np.float32)
        return self._joined(self._by_numbers, features, codes)

    def by_codes(self, features: Features, codes: Codes) -> tuple[Floats, Floats]:
        """Cross-entropy as `loss` gives it, and its derivative by the embedding of each code.

        The derivative has the shape (n, n_coded, width); the network has an input of codes.
        """
        return self._joined(self._by_codes, features, codes)

    def _joined(self, function: Any, features: Features, codes: Codes) -> tuple[Floats, Floats]:
        losses, slopes = zip(*(function(*batch) for batch in self._batches(features, codes)), strict=True)
        return np.concatenate([part.numpy() for part in losses]), np.concatenate([p.numpy() for p in slopes])

    def _batches(self, features: Features, codes: Codes) -> Iterator[tuple[dict[str, Any], Any]]:
        import tensorflow as tf

        targets, start = one_hot(codes, self._n_classes), 0
        for part in slices(features):
            end = start + len(next(iter(part.values())))
            yield (
                {name: tf.constant(values) for name, values in part.items()},
                tf.constant(targets[start:end]),
            )
            start = end
