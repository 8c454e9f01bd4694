"""The default network for tables: embedded codes beside piecewise-linear numbers, then dense layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple

from lockstep.models.dropout import dropout_class
from lockstep.models.shared_slopes import Slopes

Normalization = Literal["batch", "layer", "none"]
Precision = Literal["float32", "bfloat16", "float16"]

# Keras' own default spreads embeddings by 0.03: codes then start all but equal, beside numeric inputs in [0, 1], and
# one short training does not catch up.
_EMBEDDING_SPREAD = 0.5


@dataclass(frozen=True)
class Network:
    """Everything that `build` needs to make the same layers again.

    Attributes
    ----------
    n_codes
        Rows of the embedding table that all columns share.
    n_coded
        Width of the input ``codes``; 0: the network has none.
    numeric_width
        Width of the input ``numeric``; 0: the network has none.
    hidden
        Units of each hidden layer.
    n_outputs
        1: one logit, of the positive class; k > 2: a logit of each of k classes.
    embedding_dim
        Width of a code's embedding.
    embedding_dropout, dropout
        Share of units dropped behind the embeddings and behind each hidden layer, in [0, 1) (Srivastava et al. 2014).
    noise
        Standard deviation of the Gaussian noise on the input ``numeric`` in training (Bishop 1995).
    normalization
        Of each hidden layer before its activation: over the batch (Ioffe & Szegedy 2015, arXiv:1502.03167) or over the
        layer (Ba et al. 2016, arXiv:1607.06450).
    l1, l2
        Weights of the absolute values and of the squares of the hidden kernels in the loss.
    members
        Networks side by side whose logits are averaged: an ensemble served whole.
    """

    n_codes: int
    n_coded: int
    numeric_width: int
    hidden: tuple[int, ...]
    n_outputs: int = 1
    embedding_dim: int = 8
    embedding_dropout: float = 0.0
    dropout: float = 0.0
    noise: float = 0.0
    normalization: Normalization = "batch"
    l1: float = 0.0
    l2: float = 0.0
    members: int = 1

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Network:
        return cls(**{**fields, "hidden": tuple(fields["hidden"])})


def build(network: Network) -> Any:
    """Build the Keras model for given weights; its output is logits of shape (n, n_outputs), the mean of its members'.

    Notes
    -----
    Its weights are zeros, and what acts in training alone is left out: both would take half the time that a network
    needs to load. Every layer is named: automatic names count up within a process and would change the saved bytes.
    """
    import keras

    inputs = _inputs(network)
    bare = replace(network, members=1)
    prefixes = [""] if network.members == 1 else [f"member_{i}_" for i in range(network.members)]
    logits = [_tower(bare, inputs, prefix, None) for prefix in prefixes]
    output = logits[0] if len(logits) == 1 else keras.layers.Average(name="mean_logit")(logits)
    return keras.Model(inputs, output, name="lockstep")


def build_for_training(
    network: Network,
    precision: Precision,
    draw_seed: Callable[[], int],
    *,
    synchronized: bool,
    slopes: Slopes | None = None,
) -> Any:
    """Build the same layers for `lockstep.models.step`; the output keeps the members apart: (n, members, n_outputs).

    Parameters
    ----------
    precision
        What the layers compute in; weights and logits are float32 (Micikevicius et al. 2018, arXiv:1710.03740).
    draw_seed
        `lockstep.models.determinism.layer_seeds`.
    synchronized
        Whether batch normalisation sees the rows of all devices.
    slopes
        How the numeric inputs make one number of each column, which the first layer then reads beside them; `fold`
        gives `build` its weights.

    Notes
    -----
    The members' layers are one layer each (`lockstep.models.side_by_side`): a network of eight is traced in a tenth of
    the time, and small steps are not spent on the number of operations. `separate` gives `build` its weights.
    """
    import keras

    from lockstep.models.step import trainable

    inputs = _inputs(network)
    logits = _tower(network, inputs, "", _Training(precision, draw_seed, synchronized, slopes))
    apart = keras.layers.Reshape((network.members, network.n_outputs), name="members")(logits)
    return trainable(inputs, apart)


class _Training(NamedTuple):
    precision: Precision
    draw_seed: Callable[[], int]
    synchronized: bool
    slopes: Slopes | None


def _inputs(network: Network) -> dict[str, Any]:
    import keras

    inputs: dict[str, Any] = {}
    if network.n_coded:
        inputs["codes"] = keras.Input((network.n_coded,), dtype="int32", name="codes")
    if network.numeric_width:
        inputs["numeric"] = keras.Input((network.numeric_width,), dtype="float32", name="numeric")
    return inputs


def _tower(network: Network, inputs: dict[str, Any], prefix: str, training: _Training | None) -> Any:
    """Logits of the members, side by side along the last axis as they are in every layer: (n, members * n_outputs)."""
    import keras
    from keras import layers

    from lockstep.models import shared_slopes, side_by_side

    members = network.members
    precision = training.precision if training else "float32"
    policy = precision if precision == "float32" else f"mixed_{precision}"

    def named(name: str) -> dict[str, Any]:
        return {"name": prefix + name, "dtype": policy}

    def dropped(share: float, name: str, value: Any) -> Any:
        if not (training and share):
            return value
        return dropout_class()(share, training.draw_seed(), **named(name))(value)

    def dense(units: int, **options: Any) -> Any:
        if not training:
            return layers.Dense(units, kernel_initializer="zeros", **options)
        if members == 1:
            start = keras.initializers.GlorotUniform(training.draw_seed())
            return layers.Dense(units, kernel_initializer=start, **options)
        return side_by_side.dense_class()(members, units, training.draw_seed(), **options)

    parts = []
    if "codes" in inputs:
        embedded = layers.Embedding(
            network.n_codes,
            members * network.embedding_dim,
            embeddings_initializer=(
                keras.initializers.RandomNormal(stddev=_EMBEDDING_SPREAD, seed=training.draw_seed())
                if training
                else "zeros"
            ),
            **named("embedding"),
        )(inputs["codes"])
        if members > 1:
            apart = (network.n_coded, members, network.embedding_dim)
            embedded = layers.Reshape(apart, **named("codes_apart"))(embedded)
            embedded = layers.Permute((2, 1, 3), **named("members_first"))(embedded)
        embedded = layers.Reshape((members, -1), **named("flatten"))(embedded)
        parts.append(dropped(network.embedding_dropout, "embedding_dropout", embedded))
    if "numeric" in inputs:
        numeric = layers.RepeatVector(members, **named("numeric_apart"))(inputs["numeric"])
        if training and network.noise:
            numeric = layers.GaussianNoise(network.noise, training.draw_seed(), **named("noise"))(numeric)
        parts.append(numeric)
        if training and training.slopes:
            parts.append(shared_slopes.layer_class()(training.slopes, **named("column_values"))(numeric))
    hidden = layers.Concatenate(**named("features"))(parts) if len(parts) > 1 else parts[0]
    hidden = layers.Flatten(**named("features_flat"))(hidden)
    for i, units in enumerate(network.hidden):
        penalty = keras.regularizers.L1L2(network.l1, network.l2) if network.l1 or network.l2 else None
        hidden = dense(units, kernel_regularizer=penalty, **named(f"hidden_{i}"))(hidden)
        if network.normalization == "batch":
            hidden = layers.BatchNormalization(
                synchronized=bool(training and training.synchronized), **named(f"normalization_{i}")
            )(hidden)
        elif network.normalization == "layer":
            normalized = (
                layers.LayerNormalization if members == 1 else partial(layers.GroupNormalization, members)
            )
            hidden = normalized(**named(f"normalization_{i}"))(hidden)
        hidden = layers.Activation("silu", **named(f"activation_{i}"))(hidden)
        hidden = dropped(network.dropout, f"dropout_{i}", hidden)
    return dense(network.n_outputs, name=f"{prefix}logit", dtype="float32")(hidden)


def inference(model: Any) -> Any:
    """`model` in inference mode as one TensorFlow function for any number of rows."""
    import tensorflow as tf

    signature = {
        layer.name: tf.TensorSpec((None, layer.shape[-1]), layer.dtype, name=layer.name)
        for layer in model.inputs
    }
    # Without AutoGraph, which would write the generated source to a temporary file.
    call = tf.function(
        lambda inputs: model(inputs, training=False), input_signature=[signature], autograph=False
    )
    # Traced here: called later, TensorFlow would take those of several models for one that is traced again and again.
    return call.get_concrete_function()
