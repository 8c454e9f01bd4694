"""The default network for tables: embedded codes beside piecewise-linear numbers, then dense layers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, NamedTuple

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

    inputs, logits = _members(replace(network, dropout=0.0, embedding_dropout=0.0, noise=0.0), None)
    output = logits[0] if len(logits) == 1 else keras.layers.Average(name="mean_logit")(logits)
    return keras.Model(inputs, output, name="lockstep")


def build_for_training(network: Network, precision: Precision, *, synchronized: bool) -> Any:
    """Build the same layers for `lockstep.models.step`; the output keeps the members apart: (n, members, n_outputs).

    Parameters
    ----------
    precision
        What the layers compute in; weights and logits are float32 (Micikevicius et al. 2018, arXiv:1710.03740).
    synchronized
        Whether batch normalisation sees the rows of all devices.
    """
    import keras

    from lockstep.models.step import trainable

    inputs, logits = _members(network, _Training(precision, synchronized))
    apart = [
        keras.layers.Reshape((1, network.n_outputs), name=f"apart_{i}")(part) for i, part in enumerate(logits)
    ]
    output = apart[0] if len(apart) == 1 else keras.layers.Concatenate(axis=1, name="members")(apart)
    return trainable(inputs, output)


class _Training(NamedTuple):
    precision: Precision
    synchronized: bool


def _members(network: Network, training: _Training | None) -> tuple[dict[str, Any], list[Any]]:
    import keras

    inputs: dict[str, Any] = {}
    if network.n_coded:
        inputs["codes"] = keras.Input((network.n_coded,), dtype="int32", name="codes")
    if network.numeric_width:
        inputs["numeric"] = keras.Input((network.numeric_width,), dtype="float32", name="numeric")
    prefixes = [""] if network.members == 1 else [f"member_{i}_" for i in range(network.members)]
    return inputs, [_tower(network, inputs, prefix, training) for prefix in prefixes]


def _tower(network: Network, inputs: dict[str, Any], prefix: str, training: _Training | None) -> Any:
    import keras
    from keras import layers

    precision = training.precision if training else "float32"
    policy = precision if precision == "float32" else f"mixed_{precision}"
    kernels = {} if training else {"kernel_initializer": "zeros"}

    def named(name: str) -> dict[str, Any]:
        return {"name": prefix + name, "dtype": policy}

    def dropped(share: float, name: str, value: Any) -> Any:
        return layers.Dropout(share, **named(name))(value) if share else value

    parts = []
    if "codes" in inputs:
        spread = keras.initializers.RandomNormal(stddev=_EMBEDDING_SPREAD) if training else "zeros"
        embedded = layers.Embedding(
            network.n_codes, network.embedding_dim, embeddings_initializer=spread, **named("embedding")
        )(inputs["codes"])
        embedded = layers.Flatten(**named("flatten"))(embedded)
        parts.append(dropped(network.embedding_dropout, "embedding_dropout", embedded))
    if "numeric" in inputs:
        noisy = layers.GaussianNoise(network.noise, **named("noise")) if network.noise else None
        parts.append(noisy(inputs["numeric"]) if noisy else inputs["numeric"])
    hidden = layers.Concatenate(**named("features"))(parts) if len(parts) > 1 else parts[0]
    for i, units in enumerate(network.hidden):
        penalty = keras.regularizers.L1L2(network.l1, network.l2) if network.l1 or network.l2 else None
        hidden = layers.Dense(units, kernel_regularizer=penalty, **kernels, **named(f"hidden_{i}"))(hidden)
        if network.normalization == "batch":
            hidden = layers.BatchNormalization(
                synchronized=bool(training and training.synchronized), **named(f"normalization_{i}")
            )(hidden)
        elif network.normalization == "layer":
            hidden = layers.LayerNormalization(**named(f"normalization_{i}"))(hidden)
        hidden = layers.Activation("silu", **named(f"activation_{i}"))(hidden)
        hidden = dropped(network.dropout, f"dropout_{i}", hidden)
    return layers.Dense(network.n_outputs, name=f"{prefix}logit", dtype="float32", **kernels)(hidden)


def inference(model: Any) -> Any:
    """`model` in inference mode as one TensorFlow function for any number of rows."""
    import tensorflow as tf

    signature = {
        layer.name: tf.TensorSpec((None, layer.shape[-1]), layer.dtype, name=layer.name)
        for layer in model.inputs
    }
    # Without AutoGraph, which would write the generated source to a temporary file.
    return tf.function(
        lambda inputs: model(inputs, training=False), input_signature=[signature], autograph=False
    )
