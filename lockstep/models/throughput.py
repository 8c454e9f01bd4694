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


def propose(
    measured: Sequence[Throughput], rows: Callable[[int], int], memory: int, seconds: float | None
) -> Throughput:
    """The smallest size that is nearly as fast as the fastest: large batches take fewer steps for the same rows.

    Parameters
    ----------
    measured
        In ascending order of size.
    rows
        Tells the rows that the whole training passes over at a batch size: a small table is passed over more often
        in larger batches.
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
    if seconds is None:
        wanted = _GOOD_ENOUGH * max(one.rows_per_second for one in fitting)
        return next(one for one in fitting if one.rows_per_second >= wanted)
    needed = [rows(one.batch_size) / one.rows_per_second for one in fitting]
    if min(needed) > seconds:
        raise ModelError(
            f"No batch size trains in {seconds / 60:g} minutes: the fastest takes {min(needed) / 60:.1f}. "
            "Allow more, or lower train.epochs or train.min_steps."
        )
    return next(one for one, time in zip(fitting, needed, strict=True) if time <= seconds)


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
    # Not every sandbox's kernel tells it.
    found = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:")]
    return found[0] * 1024 if found else 0
