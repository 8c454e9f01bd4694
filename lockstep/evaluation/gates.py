"""Gates: a figure against its threshold, with the evidence behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lockstep.evaluation.bootstrap import Interval

Verdict = Literal["pass", "fail", "insufficient evidence"]
Direction = Literal["at least", "at most"]


@dataclass(frozen=True)
class Gate:
    """Outcome of one gate.

    Attributes
    ----------
    gate
        Its name: the metric, and the sensitive feature where it is about groups.
    verdict
        Whether the figure keeps the threshold; "insufficient evidence" where fewer than two groups are large enough.
    figure, interval
        The figure and its 95 % confidence interval; None without evidence.
    threshold, direction
        The bound, and whether the figure must be at least or at most that.
    n_rows
        Rows behind the figure.
    left_out
        Groups too small to be evidence, which the figure leaves out.
    """

    gate: str
    verdict: Verdict
    figure: float | None
    interval: Interval | None
    threshold: float
    direction: Direction
    n_rows: int
    left_out: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def judge(
    gate: str,
    figure: float,
    interval: Interval,
    threshold: float,
    direction: Direction,
    n_rows: int,
    left_out: Sequence[str] = (),
) -> Gate:
    """Compare `figure` with `threshold`."""
    kept = figure >= threshold if direction == "at least" else figure <= threshold
    return Gate(
        gate, "pass" if kept else "fail", figure, interval, threshold, direction, n_rows, tuple(left_out)
    )


def no_evidence(gate: str, threshold: float, n_rows: int, left_out: Sequence[str]) -> Gate:
    """Outcome of a gate at most `threshold` for which fewer than two groups are large enough."""
    return Gate(gate, "insufficient evidence", None, None, threshold, "at most", n_rows, tuple(left_out))


def verdict(gates: Sequence[Gate]) -> Verdict:
    """Verdict of all gates together: the worst of them."""
    found = {gate.verdict for gate in gates}
    if "fail" in found:
        return "fail"
    return "insufficient evidence" if "insufficient evidence" in found else "pass"
