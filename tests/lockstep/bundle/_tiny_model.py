"""Writes a tiny LiteRT network: python _tiny_model.py N_CODES N_COLUMNS NUMERIC_WIDTH OUT."""

import sys
from pathlib import Path

import keras
import tensorflow as tf

n_codes, n_columns, width = map(int, sys.argv[1:4])
keras.utils.set_random_seed(7)
codes = keras.Input((n_columns,), dtype="int32", name="codes")
numeric = keras.Input((width,), dtype="float32", name="numeric")
embedding = keras.layers.Embedding(n_codes, 4, embeddings_initializer="normal", name="embedding")(codes)
joined = keras.layers.Concatenate(name="joined")([keras.layers.Flatten(name="flat")(embedding), numeric])
network = keras.Model([codes, numeric], keras.layers.Dense(1, name="logit")(joined))
signature = [
    tf.TensorSpec([None, n_columns], tf.int32, name="codes"),
    tf.TensorSpec([None, width], tf.float32, name="numeric"),
]
function = tf.function(lambda codes, numeric: network([codes, numeric]), input_signature=signature)
converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], network)
# Freezes the weights: else they stay variables that the interpreter never sets.
converter.experimental_lower_to_saved_model = False
Path(sys.argv[4]).write_bytes(converter.convert())
