"""A network as bytes: the same weights give the same bytes, and reading them runs no code."""

from __future__ import annotations

from typing import Any

from lockstep.errors import ModelError
from lockstep.models._archive import pack, unpack
from lockstep.models.network import Network, build

SCHEMA = "network/2"
"""Schema that stands in the context of a sealed network."""

_CONFIG = "network.json"


def to_bytes(network: Network, model: Any) -> bytes:
    """Configuration and weights as one archive."""
    return pack(_CONFIG, network.as_dict(), {weight.path: weight.numpy() for weight in model.weights})


def from_bytes(content: bytes) -> tuple[Network, Any]:
    """Inverse of `to_bytes`; raises ModelError on another format."""
    try:
        config, arrays = unpack(_CONFIG, content)
        network = Network.from_dict(config)
        model = build(network)
        for weight in model.weights:
            weight.assign(arrays[weight.path])
    except (KeyError, ValueError, TypeError):
        raise ModelError("This is no network of this release. Run the stage `train` again.") from None
    return network, model
