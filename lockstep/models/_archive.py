"""A JSON document and arrays as safetensors: equal contents give equal bytes, and reading them runs no code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load, save

_LENGTH_BYTES = 8


def pack(name: str, document: object, arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Archive of `arrays`, with `document` as the metadata `name`."""
    contiguous = {key: np.ascontiguousarray(array).reshape(array.shape) for key, array in arrays.items()}
    return save(contiguous, metadata={name: json.dumps(document, sort_keys=True)})


def unpack(name: str, content: bytes) -> tuple[Any, dict[str, npt.NDArray[Any]]]:
    """Inverse of `pack`; raises ValueError on another format."""
    try:
        arrays = load(content)
        end = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
        # `load` leaves the metadata out.
        return json.loads(json.loads(content[_LENGTH_BYTES:end])["__metadata__"][name]), arrays
    except (SafetensorError, KeyError, ValueError, TypeError):
        raise ValueError(f"no archive with {name}") from None
