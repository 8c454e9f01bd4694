"""A network as bytes: the same weights give the same bytes, and reading them runs no code."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np

from lockstep.errors import ModelError
from lockstep.models.network import Network, build

SCHEMA = "network/1"
"""Schema that stands in the context of a sealed network."""

_CONFIG = "network.json"


def to_bytes(network: Network, model: Any) -> bytes:
    """Configuration and weights as an npz archive (numpy gives every entry the same date)."""
    config = json.dumps(network.as_dict(), sort_keys=True).encode()
    arrays: dict[str, Any] = {_CONFIG: np.frombuffer(config, dtype=np.uint8)}
    arrays.update(sorted((weight.path, weight.numpy()) for weight in model.weights))
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def from_bytes(content: bytes) -> tuple[Network, Any]:
    """Inverse of `to_bytes`; raises ModelError on another format."""
    try:
        # Without pickles an archive holds arrays and nothing that runs.
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = dict(archive)
        network = Network.from_dict(json.loads(arrays.pop(_CONFIG).tobytes()))
        model = build(network)
        for weight in model.weights:
            weight.assign(arrays[weight.path])
    except (KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile):
        raise ModelError("This is no network of this release. Run the stage `train` again.") from None
    return network, model
