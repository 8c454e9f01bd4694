"""How many rows a second training takes at each batch size, and in how much memory; and which size to take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lockstep.errors import ModelError

_GOOD_ENOUGH = 0.9
_SPARE = 0.8
_WARM_UP = 2


@dataclass(frozen=True)
class Throughput:
    """What a few steps at a batch size took.

    Attributes
    ----------
    batch_size
        Rows of a step.
    rows_per_second
        Rows trained on in a second.
    peak_bytes
        The most memory that the process held meanwhile; 0 where the system does not tell.
    """

    batch_size: int
    rows_per_second: float
    peak_bytes: int


def measure(step: Callable[[], None], batch_size: int, n_steps: int) -> Throughput:
    """Time `n_steps` calls of `step`, each a training step on `batch_size` rows, after some that are not timed."""
    # The first step traces the graph.
    for _ in range(_WARM_UP):
        step()
    _forget_peak()
    started = time.perf_counter()
    for _ in range(n_steps):
        step()
    seconds = time.perf_counter() - started
    return Throughput(batch_size, n_steps * batch_size / seconds, _peak_bytes())


def propose(measured: Sequence[Throughput], n_rows: int, memory: int, seconds: float | None) -> Throughput:
    """The smallest size that is nearly as fast as the fastest: large batches take fewer steps for the same rows.

    Parameters
    ----------
    measured
        In ascending order of size.
    n_rows
        Rows that the training passes over, all epochs together.
    memory
        Bytes that may be used; of these a fifth stays free.
    seconds
        Time that the training may take. With it, the smallest size that keeps to it.

    Raises
    ------
    ModelError
        No size fits into the memory, or into the time.
    """
    fitting = [one for one in measured if one.peak_bytes <= _SPARE * memory]
    if not fitting:
        raise ModelError(
            f"Batches of {measured[0].batch_size} rows take {measured[0].peak_bytes / 2**30:.1f} GiB already, of "
            f"{memory / 2**30:.1f} GiB that are free. Train fewer or narrower layers, or free memory."
        )
    fastest = max(one.rows_per_second for one in fitting)
    wanted = _GOOD_ENOUGH * fastest if seconds is None else n_rows / seconds
    if wanted > fastest:
        raise ModelError(
            f"No batch size trains in {seconds / 60 if seconds else 0:g} minutes: the fastest takes "
            f"{n_rows / fastest / 60:.1f}. Allow more, or lower train.epochs."
        )
    return next(one for one in fitting if one.rows_per_second >= wanted)


def _forget_peak() -> None:
    try:
        # Linux, proc(5): the peak begins anew from what is held now.
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return


def _peak_bytes() -> int:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0
    [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) * 1024
