"""Conversion of a trained model to a small one."""
