"""Bundles: what is deployed, and the registry that holds them."""
