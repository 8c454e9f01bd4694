"""What a piece of work costs on this host: seconds, processor time, memory and energy."""

from __future__ import annotations

import os
import resource
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

WATTS_PER_CORE = 10.0
"""Assumed of a busy core where the processor tells no energy: about what a server's share of one draws under load."""

_RAPL = Path("/sys/class/powercap")


class Meter:
    """Measures from its creation on.

    Energy is what the processor packages counted (RAPL: the whole machine's, not this process's alone), else estimated
    from processor time. Peak memory is the resident memory of this process since `forget_peak_memory`.
    """

    def __init__(self) -> None:
        self._joules = _package_joules()
        self._cpu = _cpu_seconds()
        self._started = time.perf_counter()

    def read(self) -> dict[str, Any]:
        """seconds, cpu_seconds, peak_memory_bytes, energy_joules and energy_method, until now."""
        seconds = time.perf_counter() - self._started
        cpu_seconds = _cpu_seconds() - self._cpu
        joules, method = self._energy(cpu_seconds)
        return {
            "seconds": round(seconds, 3),
            "cpu_seconds": round(cpu_seconds, 3),
            "peak_memory_bytes": _peak_memory(),
            "energy_joules": round(joules, 1),
            "energy_method": method,
        }

    def _energy(self, cpu_seconds: float) -> tuple[float, str]:
        now = _package_joules()
        if self._joules is not None and now is not None and now >= self._joules:
            return now - self._joules, "RAPL, whole packages"
        return cpu_seconds * WATTS_PER_CORE, f"processor time at {WATTS_PER_CORE:g} W a core"


def forget_peak_memory() -> None:
    """Let the peak of this process's memory begin anew; without Linux it lasts as long as the process."""
    with suppress(OSError):
        # proc(5), clear_refs.
        Path("/proc/self/clear_refs").write_text("5")


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _peak_memory() -> int:
    with suppress(OSError, StopIteration):
        status = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in status if line.startswith("VmHWM:")).split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _package_joules() -> float | None:
    """Joules that all processor packages counted; None where they cannot be read."""
    try:
        packages = [path for path in _RAPL.glob("intel-rapl:*") if path.name.count(":") == 1]
        counted = [int((path / "energy_uj").read_text()) for path in packages]
    except (OSError, ValueError):
        return None
    return sum(counted) / 1e6 if counted else None
