"""The card's section on perturbed rows: one table of what each perturbation costs, and a curve for each kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lockstep.charts import chart
from lockstep.evaluation.card.blocks import Block, Picture, table_of, words
from lockstep.evaluation.card.cells import Number
from lockstep.evaluation.gate_words import in_unit

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
        f"{found['n_amounts']:,} columns of numbers, {found['n_choices']:,} of categories. Who moves them against the "
        "model knows the float network and the label, and keeps within what training rows make plausible. The lead is "
        "what the model is better by than a random order: 100 % lost is as good as random, more is worse, and below "
        "0 % the perturbed rows were ranked better by chance."
    )
    points = [
        {"perturbation": heading, "strength": f"{point['strength']:g} {unit}", **_costs(point)}
        for kind, (heading, unit) in _KINDS.items()
        for point in found["curves"].get(kind, ())
    ]
    if points:
        yield table_of("What each perturbation costs", "perturbation", points)
    unperturbed = found["unperturbed"]
    for kind, (heading, unit) in _KINDS.items():
        if curve := found["curves"].get(kind, ()):
            yield _curve(heading, unit, [{"strength": 0.0, **unperturbed}, *curve])
    if found["shifted"]:
        rows = [
            {
                "group": f"{words(point['feature'])}: {point['group']}",
                "odds of that group, times": point["strength"],
                **_costs(point),
            }
            for point in found["shifted"]
        ]
        yield table_of("Other shares of groups", "group", rows)


def _costs(point: Mapping[str, Any]) -> dict[str, Any]:
    """Its figures, what is lost first."""
    lost = "" if point["lost"] is None else in_unit("percent", point["lost"])
    if point["lost_interval"] is not None:
        lost += f"\n({in_unit('percent', *point['lost_interval'])})"
    figures = (_FIGURE, "roc_auc", "changed_decisions")
    names = [f"{figure}{suffix}" for figure in figures for suffix in ("", "_interval")]
    return {
        "lead lost (95 % interval)": Number(lost),
        **{name: point[name] for name in names if name in point},
    }


def _curve(heading: str, unit: str, points: Sequence[Mapping[str, Any]]) -> Picture:
    line = [(point["strength"], point[_FIGURE]) for point in points]
    ends = [(point["strength"], end) for point in points for end in point[f"{_FIGURE}_interval"]]
    drawn = chart(heading, unit, "average precision", line=line, dots=line, faint=ends)
    return Picture(drawn, f"{heading}: average precision; a circle is an end of a 95 % interval")
