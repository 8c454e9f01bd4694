"""The proposed batch size is the smallest that serves."""

from __future__ import annotations

import pytest

from lockstep.errors import ModelError
from lockstep.models.throughput import Throughput, measure, propose

GIB = 2**30
MEASURED = [
    Throughput(128, 1000.0, GIB),
    Throughput(512, 3800.0, GIB),
    Throughput(1024, 4000.0, 2 * GIB),
    Throughput(4096, 4100.0, 6 * GIB),
]


def _a_million(size: int) -> int:
    return 10**6


def test_the_smallest_that_is_nearly_as_fast() -> None:
    assert propose(MEASURED, _a_million, 100 * GIB, None).batch_size == 512


def test_what_does_not_fit_into_the_memory_is_left_out() -> None:
    assert (
        propose([*MEASURED, Throughput(8192, 9000.0, 8 * GIB)], _a_million, 100 * GIB, None).batch_size
        == 8192
    )
    assert (
        propose([*MEASURED, Throughput(8192, 9000.0, 8 * GIB)], _a_million, 9 * GIB, None).batch_size == 512
    )
    with pytest.raises(ModelError, match=r"Batches of 128 rows take 1\.0 GiB already, of 1\.0 GiB"):
        propose(MEASURED, _a_million, GIB, None)


def test_the_smallest_that_keeps_to_the_time() -> None:
    assert propose(MEASURED, _a_million, 100 * GIB, 1000.0).batch_size == 128
    assert propose(MEASURED, _a_million, 100 * GIB, 260.0).batch_size == 1024
    with pytest.raises(ModelError, match=r"No batch size trains in 1 minutes: the fastest takes 4\.1"):
        propose(MEASURED, _a_million, 100 * GIB, 60.0)


def test_larger_batches_may_pass_over_more_rows() -> None:
    with pytest.raises(ModelError, match=r"the fastest takes 8\.5"):
        propose(MEASURED, lambda size: 4000 * size, 100 * GIB, 400.0)


def test_steps_are_timed_and_their_memory_seen() -> None:
    held: list[bytearray] = []
    few = measure(lambda: None, 10, 3)
    many = measure(lambda: held.append(bytearray(b"x" * 2**25)), 10, 3)
    assert few.rows_per_second > many.rows_per_second > 0
    assert many.peak_bytes - few.peak_bytes >= 3 * 2**25
