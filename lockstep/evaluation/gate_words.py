"""What each gate's figure is, in plain words and in its unit: for the card and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from lockstep.evaluation.gates import decimals

Unit = Literal["number", "percent", "points"]


class _Kind(NamedTuple):
    """What a figure is; ``{at}`` is the gate's strength, ``{share}`` the same in percent, ``{feature}`` its feature."""

    what: str
    unit: Unit = "number"


_APART = (
    "How far apart the shares of positive decisions are between the two groups of {feature} that differ most"
)
_LOST = "Share of its lead over a random order that the model loses when"
_SOMEBODY = f"{_LOST} somebody who knows it"

_LEAD = "By how much the champion, which this model would replace, is ahead on the same rows"

_KINDS = {
    "roc_auc": _Kind(
        "How often the model ranks a positive row before another one (1: always, 0.5: as a coin would)"
    ),
    "average_precision": _Kind(
        "How many of the rows ranked first are positive, averaged over all places in the ranking at which one is found "
        "(1: all; a random order: the share of positive rows)"
    ),
    "brier": _Kind("How far probabilities lie from what came true, squared and averaged (0: nowhere off)"),
    "demographic_parity_difference": _Kind(_APART, "points"),
    "equalized_odds_difference": _Kind(
        f"{_APART}, among the positive rows or among the others, whichever is more", "points"
    ),
    "explanation_agreement": _Kind(
        "How alike the model that ships and the one before compression rank the columns by their weight in a decision "
        "(1: the same order, 0: unrelated)"
    ),
    "membership_inference": _Kind(
        "Share of the training rows that an attacker finds who wrongly accuses {share} of other rows (chance: {share})",
        "percent",
    ),
    "membership_inference_auc": _Kind(
        "How often an attacker picks the training row out of it and another row (1: always, 0.5: as a coin would)"
    ),
    "champion:roc_auc": _Kind(
        f"{_LEAD} in how often it ranks a positive row before another one (below 0: this model is ahead)"
    ),
    "champion:average_precision": _Kind(
        f"{_LEAD} in how many of the rows ranked first are positive (below 0: this model is ahead)"
    ),
    "champion:brier": _Kind(
        f"{_LEAD} in how close probabilities lie to what came true (below 0: this model is ahead)"
    ),
    "robustness:noise": _Kind(
        f"{_LOST} each number gets random noise of {{at}} standard deviations of its column", "percent"
    ),
    "robustness:missing": _Kind(f"{_LOST} {{share}} of all cells are blank", "percent"),
    "robustness:swapped": _Kind(f"{_LOST} {{share}} of the categories are drawn anew", "percent"),
    "robustness:fgsm": _Kind(
        f"{_SOMEBODY} moves every number against it, {{at}} standard deviations at most, in one step (FGSM)",
        "percent",
    ),
    "robustness:pgd": _Kind(
        f"{_SOMEBODY} moves every number against it, {{at}} standard deviations at most, in many steps (PGD)",
        "percent",
    ),
    "robustness:flips": _Kind(f"{_SOMEBODY} exchanges {{at}} of each row's categories against it", "percent"),
    "robustness:shifted": _Kind(
        f"{_LOST} rows of one group, the worst for that, become {{at}} times as likely as they are (by ROC AUC)",
        "percent",
    ),
}


def what_it_is(gate: Mapping[str, Any]) -> str:
    """What the gate's figure is; empty of a gate that is not known here."""
    at = gate.get("at")
    known = {} if at is None else {"at": f"{at:g}", "share": in_unit("percent", at)}
    feature = gate["gate"].partition(":")[2].replace("_", " ")
    kind = _kind(gate["gate"])
    return kind.what.format_map({"at": "?", "share": "?", **known, "feature": feature}) if kind else ""


def figure_of(gate: Mapping[str, Any]) -> str:
    """The gate's figure in its unit; empty where there is none."""
    return "" if gate["figure"] is None else in_unit(_unit(gate), gate["figure"])


def interval_of(gate: Mapping[str, Any]) -> str:
    """The interval of the gate's figure in its unit; empty where there is none."""
    return "" if gate["interval"] is None else in_unit(_unit(gate), *gate["interval"])


def asked_of(gate: Mapping[str, Any]) -> str:
    """What the gate asks of its figure, in its unit."""
    return f"{gate.get('direction', 'threshold')} {in_unit(_unit(gate), gate['threshold'])}"


def in_unit(unit: Unit, *values: float) -> str:
    """One value, or the two ends of an interval, with the unit."""
    if unit == "number":
        return " to ".join(decimals(value, f"{value:.4g}") for value in values)
    # Three digits are what an interval of so many rows can support.
    return f"{' to '.join(f'{100 * value:.3g}' for value in values)} {'%' if unit == 'percent' else 'points'}"


def _kind(name: str) -> _Kind | None:
    return _KINDS.get(name) or _KINDS.get(name.partition(":")[0])


def _unit(gate: Mapping[str, Any]) -> Unit:
    kind = _kind(gate["gate"])
    return kind.unit if kind else "number"
