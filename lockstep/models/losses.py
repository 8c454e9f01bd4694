"""What a network's logits cost, row by row."""

from __future__ import annotations

from typing import Any


def cross_entropy(targets: Any, logits: Any) -> Any:
    """Cross-entropy of each row and member.

    Parameters
    ----------
    targets
        Shape (n, members, 1): probability of the positive class; (n, members, k): of each class.
    logits
        Of the same shape.

    Returns
    -------
    tensor of shape (n, members)
    """
    import tensorflow as tf

    if logits.shape[-1] == 1:
        return tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)[:, :, 0]
    return tf.nn.softmax_cross_entropy_with_logits(targets, logits)


def focal(targets: Any, logits: Any, gamma: float) -> Any:
    """Cross-entropy of each row and member, times ``(1 - p) ** gamma`` for the probability p of the row's own class.

    What is learned already counts for little, so that the many easy rows of a large class do not outweigh the rest.
    Arguments and shape as those of `cross_entropy`; where a target is no 0 or 1, p is the expected probability.

    References
    ----------
    T.-Y. Lin et al. (2017), "Focal Loss for Dense Object Detection", arXiv:1708.02002.
    """
    import tensorflow as tf

    if logits.shape[-1] == 1:
        probability = tf.sigmoid(logits)
        own = (targets * probability + (1.0 - targets) * (1.0 - probability))[:, :, 0]
    else:
        own = tf.reduce_sum(targets * tf.nn.softmax(logits), axis=-1)
    # The gradient of a power below 1 is infinite at 0.
    return cross_entropy(targets, logits) * tf.maximum(1.0 - own, 1e-7) ** gamma
