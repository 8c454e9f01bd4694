"""What a person is told when training diverges: where it began, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from lockstep.errors import ModelError
from lockstep.models.checkpoints import State, restore
from lockstep.models.moved_rows import POSITIONS
from lockstep.models.step import loss_of


class NotFinite(Exception):
    """The loss, or after the last step of an epoch a validation logit, is infinite or NaN.

    Parameters
    ----------
    step
        Number, from 0, of the step within its epoch; that of steps per epoch: after the last one.
    """

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step


def explain(
    model: Any, before: State, batches: Any, step: int, validation: Iterable[dict[str, npt.NDArray[Any]]]
) -> ModelError:
    """The error to raise for what `NotFinite` found.

    By now the optimizer has spread what is not finite over all weights. So the epoch is run once more up to the
    step before, which ends in the weights that this step met.

    Parameters
    ----------
    model
        The compiled model that diverged.
    before
        Its state before the epoch.
    batches
        The epoch's batches of inputs, targets and weights.
    step
        Of `NotFinite`.
    validation
        Inputs of the validation rows, slice by slice.
    """
    restore(before, model)
    remaining = iter(batches)
    for batch in islice(remaining, step):
        model.train_on_batch(*batch)
    epoch, steps = len(before.curve) + 1, len(batches)
    if step == steps:
        what = f"after epoch {epoch}: a logit of a validation row"
        found = (_in_outputs(_every_layer(model)(inputs), model) for inputs in validation)
        origin = _in_weights(model) or next(filter(None, found), None)
    else:
        what = f"in step {step + 1:,} of {steps:,} of epoch {epoch}: its loss"
        inputs, targets, weights = next(remaining)
        inputs = {name: part for name, part in inputs.items() if name != POSITIONS}
        if model.adversary:
            targets, _ = targets
        if bad := _count_not_finite([*inputs.values(), targets, weights]):
            return ModelError(
                f"Training diverged {what} is not finite. Of the step's {len(targets):,} rows {bad:,} hold a feature "
                "or weight that is not finite. Correct them at the source."
            )
        origin = _in_weights(model) or _in_step(model, inputs, targets, weights)
    return ModelError(
        f"Training diverged {what} is not finite. First not finite: {origin or 'the loss'}. "
        "Lower train.learning_rate or train.clip_norm in params.yaml."
    )


def _count_not_finite(parts: list[Any]) -> int:
    finite = [np.isfinite(part).reshape(len(part), -1).all(axis=1) for part in parts]
    return int((~np.logical_and.reduce(finite)).sum())


def _in_weights(model: Any) -> str | None:
    for layer in model.layers:
        if not all(np.isfinite(weight.numpy()).all() for weight in layer.weights):
            return f"the weights of layer {layer.name!r}"
    return None


def _every_layer(model: Any) -> Any:
    import keras

    return keras.Model(model.inputs, [layer.output for layer in model.layers])


def _in_outputs(outputs: Any, model: Any) -> str | None:
    for layer, output in zip(model.layers, outputs, strict=True):
        if not np.isfinite(output.numpy()).all():
            return f"the output of layer {layer.name!r}"
    return None


def _in_step(model: Any, inputs: Any, targets: Any, weights: Any) -> str | None:
    """The first layer forward whose output, or else backward whose gradient, is not finite."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        outputs = _every_layer(model)(inputs, training=True)
        loss = loss_of(model, inputs, targets, weights, outputs[-1])
    trainable = [(layer, weight) for layer in model.layers for weight in layer.trainable_weights]
    gradients = tape.gradient(loss, [weight.value for _, weight in trainable])
    backward = (
        f"the gradient of layer {layer.name!r}"
        for (layer, _), gradient in reversed(list(zip(trainable, gradients, strict=True)))
        # That of an embedding is sparse.
        if not np.isfinite(tf.convert_to_tensor(gradient).numpy()).all()
    )
    return _in_outputs(outputs, model) or next(backward, None)
