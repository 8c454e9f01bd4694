"""Keras models: building, training, saving the same bytes each time."""
