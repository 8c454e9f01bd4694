"""Keras models: building, training, saving the same bytes each time."""

import os

# Both are read when the library is imported, so they are set in front of the room's first import of it:
# whatever a user's own Keras configuration says, and without TensorFlow's notices about the CPU.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
