"""The default network for tables: embedded codes beside piecewise-linear numbers, then dense layers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Network:
    """Everything that `build` needs to make the same layers again.

    Attributes
    ----------
    n_codes
        Rows of the embedding table that all columns share.
    n_columns
        Width of the input ``codes``.
    numeric_width
        Width of the input ``numeric``; 0: the network has none.
    hidden
        Units of each hidden layer.
    embedding_dim
        Width of a code's embedding.
    embedding_dropout, dropout
        Share of units dropped behind the embeddings and behind each hidden layer, in [0, 1).
    batch_normalization
        Whether each hidden layer is normalised before its activation.
    l2
        Weight of the squared kernel norms in the loss.
    """

    n_codes: int
    n_columns: int
    numeric_width: int
    hidden: tuple[int, ...]
    embedding_dim: int
    embedding_dropout: float
    dropout: float
    batch_normalization: bool
    l2: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Network:
        return cls(**{**fields, "hidden": tuple(fields["hidden"])})


def build(network: Network) -> Any:
    """Build the Keras model; its output is one logit of shape (n, 1).

    Notes
    -----
    Every layer is named: automatic names count up within a process and would change the saved bytes.
    """
    import keras
    from keras import layers

    codes = keras.Input((network.n_columns,), dtype="int32", name="codes")
    embedded = layers.Embedding(network.n_codes, network.embedding_dim, name="embedding")(codes)
    embedded = layers.Flatten(name="flatten")(embedded)
    hidden = layers.Dropout(network.embedding_dropout, name="embedding_dropout")(embedded)
    inputs = {"codes": codes}
    if network.numeric_width:
        numeric = keras.Input((network.numeric_width,), dtype="float32", name="numeric")
        inputs["numeric"] = numeric
        hidden = layers.Concatenate(name="features")([hidden, numeric])
    for i, units in enumerate(network.hidden):
        penalty = keras.regularizers.L2(network.l2) if network.l2 else None
        hidden = layers.Dense(units, kernel_regularizer=penalty, name=f"hidden_{i}")(hidden)
        if network.batch_normalization:
            hidden = layers.BatchNormalization(name=f"normalization_{i}")(hidden)
        hidden = layers.Activation("silu", name=f"activation_{i}")(hidden)
        hidden = layers.Dropout(network.dropout, name=f"dropout_{i}")(hidden)
    logit = layers.Dense(1, name="logit")(hidden)
    return keras.Model(inputs, logit, name="lockstep")


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
