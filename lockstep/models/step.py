"""One training step, shared by `fit` and by a loop of one's own, on one device, several, or several machines.

Several end where one does. Keras' `fit` fails under `MultiWorkerMirroredStrategy`; a loop over `strategy.run` with this
step does not.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from lockstep.models import adversary
from lockstep.models.losses import cross_entropy, focal


def trainable(inputs: dict[str, Any], logits: Any) -> Any:
    """A functional model whose `fit` takes `train_step`."""
    return _model_class()(inputs, logits, name="lockstep")


@cache
def _model_class() -> Any:
    import keras

    class Tabular(keras.Model):
        label_smoothing = 0.0
        focal_gamma = 0.0
        own_step: Any = None
        adversary: Any = None
        moves: Any = None
        private: Any = None

        def train_step(self, batch: Any) -> dict[str, Any]:
            return {"loss": train_step(self, batch)}

    return Tabular


def loss_of(model: Any, inputs: Any, targets: Any, weights: Any, logits: Any) -> Any:
    """This replica's share of the loss of a batch: the mean over all replicas' rows of `row_losses`, and penalties.

    Parameters
    ----------
    weights
        Of the rows, shape (n,).
    """
    import tensorflow as tf

    replicas = tf.distribute.get_replica_context()
    n_rows = replicas.all_reduce("SUM", tf.cast(tf.shape(targets)[0], tf.float32))
    penalties = tf.add_n(model.losses) / replicas.num_replicas_in_sync if model.losses else 0.0
    return tf.reduce_sum(row_losses(model, targets, logits) * weights) / n_rows + penalties


def row_losses(model: Any, targets: Any, logits: Any) -> Any:
    """Sum of the members' losses of each row, shape (n,).

    A member's is its cross-entropy, or the focal loss where the model's ``focal_gamma`` is not 0.

    Parameters
    ----------
    targets
        Shape (n, 1): probability of the positive class; (n, k): of each class. They are smoothed by the model's
        ``label_smoothing`` (Szegedy et al. 2016, arXiv:1512.00567).
    logits
        What the model answered, shape (n, members, 1 or k): each member learns the targets by itself.
    """
    import tensorflow as tf

    smoothing, width = model.label_smoothing, targets.shape[-1]
    targets = targets * (1.0 - smoothing) + smoothing / max(width, 2)
    targets = tf.broadcast_to(targets[:, None, :], tf.shape(logits))
    gamma = model.focal_gamma
    of_members = focal(targets, logits, gamma) if gamma else cross_entropy(targets, logits)
    # Their sum, so that each has the gradient that it would have alone, before all are clipped together.
    return tf.reduce_sum(of_members, axis=1)


def train_step(model: Any, batch: Any) -> Any:
    """Update `model` by one batch of inputs, targets and weights; return its mean loss over members and all rows.

    With an adversary (`lockstep.models.adversary.attach`) the targets are a pair: these, and each row's group. Of a
    model with ``moves`` (`lockstep.models.moved_rows.Moves`) the rows count twice: as they are, and moved. Of a
    ``private`` model (`lockstep.models.private_gradients.Private`) the mean is over the rows that were expected.
    """
    import tensorflow as tf

    if model.moves:
        batch = model.moves.beside(model, batch)
    if model.adversary:
        gradients, loss, logits = adversary.gradients(model, loss_of, batch)
    elif model.private:
        gradients, loss, logits = model.private.gradients(model, row_losses, batch)
    else:
        inputs, targets, weights = batch
        with tf.GradientTape() as tape:
            logits = model(inputs, training=True)
            loss = loss_of(model, inputs, targets, weights, logits)
            scaled = model.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, model.trainable_weights)
    replicas = tf.distribute.get_replica_context()
    if replicas.num_replicas_in_sync > 1:
        # Keras clips before it sums over the replicas. Where each has its share of the sum, all clip alike, and all
        # skip the step where float16 overflowed in one; `make_optimizer` is told their share of the norm.
        total = replicas.all_reduce("SUM", [tf.convert_to_tensor(gradient) for gradient in gradients])
        gradients = [gradient / replicas.num_replicas_in_sync for gradient in total]
    model.optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))
    return replicas.all_reduce("SUM", loss) / logits.shape[1]


def run_steps(model: Any, batches: Any, strategy: Any) -> list[float]:
    """Train `model` on each batch once, in a loop of its own; return the loss of each step.

    Parameters
    ----------
    batches
        A `tf.data.Dataset`, which is split over the replicas of `strategy`.
    """
    step = model.own_step = model.own_step or _own_step(model, strategy)
    return [float(step(batch)) for batch in strategy.experimental_distribute_dataset(batches)]


def _own_step(model: Any, strategy: Any) -> Any:
    import tensorflow as tf

    # AutoGraph would write the generated source to a temporary file.
    @tf.function(autograph=False, reduce_retracing=True)
    def step(batch: Any) -> Any:
        return strategy.reduce("MEAN", strategy.run(train_step, args=(model, batch)), axis=None)

    return step
