"""Metrics, gates and curves of the model that ships."""
