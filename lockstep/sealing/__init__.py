"""Sealed files: ciphertext that still caches."""
