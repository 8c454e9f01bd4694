"""A JSON document and arrays in one npz archive: equal contents give equal bytes, and reading them runs no code."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt


def pack(name: str, document: object, arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """Archive of `document`, as the entry `name`, and `arrays` (numpy gives every entry the same date)."""
    entry = np.frombuffer(json.dumps(document, sort_keys=True).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: entry, **dict(sorted(arrays.items()))})
    return buffer.getvalue()


def unpack(name: str, content: bytes) -> tuple[Any, dict[str, npt.NDArray[Any]]]:
    """Inverse of `pack`; raises ValueError on another format."""
    try:
        # Without pickles an archive holds arrays and nothing that runs.
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = dict(archive)
        return json.loads(arrays.pop(name).tobytes()), arrays
    except (KeyError, ValueError, TypeError, EOFError, zipfile.BadZipFile):
        raise ValueError(f"no archive with {name}") from None
