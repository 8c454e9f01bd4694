"""The card's section on perturbed rows: a curve and a table for each kind, and one table of groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lockstep.charts import chart
from lockstep.evaluation.card.blocks import Block, Picture, table_of

_KINDS = {
    "noise": ("Noise on numbers", "standard deviations of each column"),
    "missing": ("Missing cells", "share of the cells"),
    "swapped": ("Swapped categories", "share of the cells"),
    "fgsm": ("Numbers moved against the model, one step (FGSM)", "standard deviations of each column"),
    "pgd": ("Numbers moved against the model, many steps (PGD)", "standard deviations of each column"),
    "flips": ("Categories exchanged against the model", "categories of a row"),
}
_FIGURE = "average_precision"


def robustness(found: Mapping[str, Any]) -> Iterator[Block]:
    """Yield what shows ``robustness`` of the evaluation's report; nothing where it is empty."""
    if not found:
        return
    yield (
        f"What {found['n_rows']:,} test rows would have cost the model that ships, had they been perturbed: "
        f"{found['n_amounts']:,} columns of numbers, {found['n_choices']:,} of categories. An adversary knows the "
        "float network and the label, and keeps within what training rows make plausible. Lost is the share of what "
        "the model is better by than a random order; a circle is an end of a 95 % interval."
    )
    unperturbed = found["unperturbed"]
    for kind, (heading, unit) in _KINDS.items():
        points = found["curves"].get(kind, ())
        if points:
            yield _curve(heading, unit, [{"strength": 0.0, **unperturbed}, *points])
            yield table_of(heading, "strength", points)
    if found["shifted"]:
        yield table_of(
            "Other shares of groups: the odds that a row is of the group, times the strength",
            "feature",
            found["shifted"],
        )


def _curve(heading: str, unit: str, points: Sequence[Mapping[str, Any]]) -> Picture:
    line = [(point["strength"], point[_FIGURE]) for point in points]
    ends = [(point["strength"], end) for point in points for end in point[f"{_FIGURE}_interval"]]
    drawn = chart(heading, unit, "average precision", line=line, dots=line, faint=ends)
    return Picture(drawn, f"{heading}: average precision on the perturbed rows")
