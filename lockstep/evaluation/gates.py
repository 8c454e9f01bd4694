"""Gates: a figure against its threshold, with the evidence behind it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from lockstep.errors import ReportAltered

if TYPE_CHECKING:
    from lockstep.evaluation.bootstrap import Interval

Verdict = Literal["pass", "fail", "insufficient evidence"]
Direction = Literal["at least", "at most"]

_SMALL = 1e-3
_REMEDY = "`dvc repro -s -f evaluate` writes it anew."


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
    at
        Strength of the perturbation, or the attacker's false positive rate, that the figure is about.
    """

    gate: str
    verdict: Verdict
    figure: float | None
    interval: Interval | None
    threshold: float
    direction: Direction
    n_rows: int
    left_out: tuple[str, ...] = ()
    at: float | None = None

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
    found = verdict_of(figure, threshold, direction)
    return Gate(gate, found, figure, interval, threshold, direction, n_rows, tuple(left_out))


def no_evidence(gate: str, threshold: float, n_rows: int, left_out: Sequence[str]) -> Gate:
    """Outcome of a gate at most `threshold` for which fewer than two groups are large enough."""
    return Gate(gate, "insufficient evidence", None, None, threshold, "at most", n_rows, tuple(left_out))


def verdict(gates: Sequence[Gate]) -> Verdict:
    """Verdict of all gates together: the worst of them."""
    return worst(gate.verdict for gate in gates)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """One verdict for several."""
    found = set(verdicts)
    if "fail" in found:
        return "fail"
    return "insufficient evidence" if "insufficient evidence" in found else "pass"


def verdict_of(figure: float | None, threshold: float, direction: Direction) -> Verdict:
    """Verdict of one gate, by its figure alone."""
    if figure is None:
        return "insufficient evidence"
    kept = figure >= threshold if direction == "at least" else figure <= threshold
    return "pass" if kept else "fail"


def describe(gate: Mapping[str, Any]) -> str:
    """A gate of a report as a person reads it in a terminal."""
    figure = gate["figure"]
    received = "no figure" if figure is None else decimals(figure, f"{figure:.4f}")
    left_out = f"; too small to be evidence: {', '.join(gate['left_out'])}" if gate.get("left_out") else ""
    return (
        f"{gate['gate']}: {gate['verdict']}; {received}, asked: {gate['direction']} {gate['threshold']} "
        f"({gate['n_rows']:,} rows){left_out}"
    )


def decimals(value: float, shown: str) -> str:
    """`shown`, but five decimals of what is near nothing: fewer digits would be a power of ten, or the threshold."""
    return f"{value:z.5f}" if 0 < abs(value) < _SMALL else shown


def require_consistent(evaluation: Mapping[str, Any], origin: str) -> None:
    """Refuse a report of `evaluate` whose verdicts do not follow from its figures and thresholds.

    Parameters
    ----------
    origin
        What to call it.

    Raises
    ------
    ReportAltered
        A verdict is another one, or the report has no gates.
    """
    try:
        gates, overall = evaluation["gates"], evaluation["verdict"]
        shown = [describe(gate) for gate in gates]
        follows = [_follows(gate) for gate in gates]
        lines = [
            f"{text}. From this follows: {own}."
            for gate, text, own in zip(gates, shown, follows, strict=True)
            if gate["verdict"] != own
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ReportAltered(f"{origin} has gates that cannot be read. {_REMEDY}") from None
    if not gates:
        raise ReportAltered(f"{origin} has no gates. {_REMEDY}")
    if not lines and overall != worst(follows):
        lines = [f"verdict: {overall!r}. From the gates follows: {worst(follows)!r}."]
    if lines:
        raise ReportAltered("\n  ".join([f"{origin} was altered. {_REMEDY}", *lines]))


def _follows(gate: Mapping[str, Any]) -> Verdict:
    if gate["direction"] not in get_args(Direction):
        raise ValueError
    return verdict_of(gate["figure"], gate["threshold"], gate["direction"])
