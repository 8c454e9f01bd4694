"""Which rows of a table of any size are equal, by a digest of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from lockstep.data.batches import Batches
from lockstep.data.splitting import numbered
from lockstep.data.tables import plain

# Odd, so that a multiplication loses nothing; the digits of the golden ratio, as splitmix64 takes them.
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_MISSING = np.uint64(0x2545F4914F6CDD1D)


def identical_rows(table: Batches, columns: Sequence[str]) -> npt.NDArray[np.int64]:
    """`lockstep.data.splitting.identical` in bounded memory: groups of equal rows in order of appearance, shape (n,).

    Rows are equal whose digests of 64 bits are. That two different ones of n rows share one has a probability of about
    n² / 2**65, 3e-6 for ten million; they would be kept on one side of a split like twins.
    """
    digests = np.empty(table.num_rows, dtype=np.uint64)
    start = 0
    for batch in table.batches(columns):
        digests[start : start + batch.num_rows] = _digests(batch)
        start += batch.num_rows
    return numbered(digests)


def _digests(batch: pa.RecordBatch) -> npt.NDArray[np.uint64]:
    digests = np.zeros(batch.num_rows, dtype=np.uint64)
    for column in batch.columns:
        digests = (digests ^ digests_of(plain(column))) * _FACTOR
        digests ^= digests >> np.uint64(32)
    return digests


def digests_of(column: pa.Array) -> npt.NDArray[np.uint64]:
    """Digest of each value of a plain column, shape (n,): equal for equal values, and one for all that are missing."""
    missing = pc.is_null(column, nan_is_null=pa.types.is_floating(column.type)).to_numpy(zero_copy_only=False)
    if pa.types.is_integer(column.type):
        digests = pd.util.hash_array(pc.fill_null(column, 0).to_numpy(zero_copy_only=False))
    elif pa.types.is_floating(column.type):
        # 0.0 and -0.0 are equal.
        values = pc.fill_null(column, 0.0).to_numpy(zero_copy_only=False).astype(np.float64) + 0.0
        digests = pd.util.hash_array(values)
    else:
        encoded = column.dictionary_encode()
        if not len(encoded.dictionary):
            return np.full(len(column), _MISSING)
        words = np.array([str(value) for value in encoded.dictionary.to_pylist()], dtype=object)
        codes = pc.fill_null(encoded.indices, 0).to_numpy(zero_copy_only=False)
        digests = pd.util.hash_array(words, categorize=False)[codes]
    return np.where(missing, _MISSING, digests)
