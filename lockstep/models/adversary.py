"""Adversarial debiasing: a network that learns while an adversary tries to tell the group from its answer.

B. H. Zhang, B. Lemoine and M. Mitchell (2018), "Mitigating Unwanted Biases with Adversarial Learning", AIES,
arXiv:1801.07593. The adversary is theirs: it sees the answer through a curve whose steepness it chooses, and for
equalized odds the label too; with several groups its one sigmoid is a softmax.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

_PREFIX = "adversary_"


@dataclass(frozen=True)
class Adversary:
    """What a network is trained against.

    Attributes
    ----------
    n_groups
        Groups that it tells apart.
    weight
        Of its loss against that of the network (``alpha`` of the paper).
    sees_labels
        Whether it knows the label: what it then cannot tell is equalized odds, else demographic parity.
    """

    n_groups: int
    weight: float
    sees_labels: bool


def attach(model: Any, adversary: Adversary, seed: int) -> None:
    """Give a model of `lockstep.models.network.build_for_training` an adversary for each of its members."""
    import keras

    members, width = model.output_shape[1:]
    n_classes = max(width, 2)
    seen = width * (n_classes if adversary.sees_labels else 1)
    for name, shape, start in (
        ("steepness", (members, 1), "ones"),
        ("kernel", (members, seen, adversary.n_groups), keras.initializers.GlorotUniform(seed)),
        ("bias", (members, adversary.n_groups), "zeros"),
    ):
        model.add_weight(shape=shape, initializer=start, name=_PREFIX + name)
    model.adversary = adversary


def is_own(weight: Any) -> bool:
    """Whether a weight is the network's own, and not its adversary's."""
    return _PREFIX not in weight.path


def gradients(model: Any, loss: Any, batch: Any) -> tuple[Any, Any, Any]:
    """Gradients of one step against the adversary.

    Parameters
    ----------
    loss
        `lockstep.models.step.loss_of`.
    batch
        Inputs, targets with the number of each row's group, and weights. The adversary is not asked about a row whose
        number is -1: it is of no group.

    Returns
    -------
    tuple
        Gradients in the order of ``model.trainable_weights``, the network's loss, and its logits.

    Notes
    -----
    The network follows the gradient of its own loss less the part that would help the adversary, and less `weight`
    times the adversary's. On several devices that part is taken away on each by itself.
    """
    import tensorflow as tf

    inputs, (targets, groups), weights = batch
    own = [w for w in model.trainable_weights if is_own(w)]
    against = [w for w in model.trainable_weights if not is_own(w)]
    with tf.GradientTape(persistent=True) as tape:
        logits = model(inputs, training=True)
        own_loss = loss(model, inputs, targets, weights, logits)
        scaled = model.optimizer.scale_loss(own_loss)
        told = tf.nn.sparse_softmax_cross_entropy_with_logits(
            tf.broadcast_to(tf.maximum(groups, 0)[:, None], tf.shape(logits)[:2]),
            _answer(model, against, targets, logits),
        )
        asked = tf.cast(groups >= 0, told.dtype)
        told = tf.reduce_sum(tf.reduce_sum(told, axis=1) * asked) / tf.maximum(tf.reduce_sum(asked), 1.0)
        scaled_told = model.optimizer.scale_loss(told)
    of_own = [tf.convert_to_tensor(g) for g in tape.gradient(scaled, own)]
    of_told = [tf.convert_to_tensor(g) for g in tape.gradient(scaled_told, own, unconnected_gradients="zero")]
    length = tf.sqrt(tf.add_n([tf.reduce_sum(g * g) for g in of_told])) + 1e-12
    along = tf.add_n([tf.reduce_sum(a * b) for a, b in zip(of_own, of_told, strict=True)]) / length
    by_path = {w.path: g for w, g in zip(against, tape.gradient(scaled_told, against), strict=True)}
    for weight, mine, theirs in zip(own, of_own, of_told, strict=True):
        by_path[weight.path] = mine - theirs * (along / length + model.adversary.weight)
    return [by_path[w.path] for w in model.trainable_weights], own_loss, logits


def _answer(model: Any, weights: list[Any], targets: Any, logits: Any) -> Any:
    """The adversaries' logits of each group, shape (n, members, n_groups)."""
    import tensorflow as tf

    steepness, kernel, bias = weights
    steeper = (1.0 + tf.abs(steepness)) * logits
    seen = tf.sigmoid(steeper) if logits.shape[-1] == 1 else tf.nn.softmax(steeper)
    if model.adversary.sees_labels:
        classes = tf.concat([1.0 - targets, targets], axis=-1) if targets.shape[-1] == 1 else targets
        joined = seen[:, :, :, None] * classes[:, None, None, :]
        seen = tf.reshape(joined, (tf.shape(seen)[0], seen.shape[1], seen.shape[2] * classes.shape[-1]))
    return tf.einsum("nmi,mig->nmg", seen, kernel) + bias
