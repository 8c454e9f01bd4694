"""Samplers for skewed classes."""
