"""The card's section on groups: how far they are apart, and the rates of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lockstep.charts import panels
from lockstep.evaluation.card.blocks import Block, Document, Picture, Table, table_of, words
from lockstep.evaluation.card.cells import Number
from lockstep.evaluation.gate_words import in_unit

_RATES = {
    "selection_rate": "positive decisions (selection rate)",
    "true_positive_rate": "of the positive rows, found (true positive rate)",
    "false_positive_rate": "of the others, decided as positive (false positive rate)",
}
_SHORT = {name: words(name) for name in _RATES}
_HOW = (
    "A difference is that between the two groups that differ most, in percentage points, of those that are large "
    "enough to tell; the others are named beside it. In brackets stand 95 % intervals. Where an interval holds for "
    "several comparisons, it is wider, so that all of them hold at once."
)


def fairness(document: Document) -> Iterator[Block]:
    """Differences between groups first, then each group's rates."""
    audits = (document["reports"].get("evaluation") or {}).get("fairness", {})
    if not audits:
        return
    yield _HOW
    yield _differences(audits)
    for feature, audited in audits.items():
        yield from _groups(f"Groups of {words(feature)}", audited)
        for name, of_class in audited.get("classes", {}).items():
            yield from _groups(f"Groups of {words(feature)}, decided as {name} or not", of_class)


def _differences(audits: Mapping[str, Any]) -> Table:
    rows = [
        (
            words(feature),
            words(measure),
            _figure(found),
            found["comparisons"],
            found["n_rows"],
            ", ".join(found["left_out"]),
        )
        for feature, audited in audits.items()
        for measure, found in audited.get("evidence", {}).items()
    ]
    columns = (
        "groups by", "measure", "difference (95 % interval)", "comparisons that the interval holds for", "rows",
        "groups left out as too small",
    )  # fmt: skip
    return Table("Largest difference between groups, on the test rows", columns, rows)


def _figure(found: Mapping[str, Any]) -> Number:
    if found["figure"] is None:
        return Number("too few rows to tell")
    return Number(f"{in_unit('points', found['figure'])}\n({in_unit('points', *found['interval'])})")


def _groups(caption: str, audited: Mapping[str, Any]) -> Iterator[Block]:
    groups = audited.get("groups", {})
    if not all("selection_rate" in rates for rates in groups.values()):
        yield table_of(caption, "group", [{"group": name, **rates} for name, rates in groups.items()])
        return
    bounds = {found["group"]: found for found in audited.get("intervals", ())}
    rows = [
        (
            name,
            rates["n_rows"],
            rates["n_positive"],
            *(_rate(rates[rate], bounds.get(name, {}).get(rate)) for rate in _RATES),
        )
        for name, rates in groups.items()
    ]
    yield Table(caption, ("group", "test rows", "positive rows", *_RATES.values()), rows)
    drawn = panels(
        caption,
        {
            what: {n: rates[rate] if bounds.get(n, {}).get(rate) else None for n, rates in groups.items()}
            for rate, what in _SHORT.items()
        },
        {what: {name: found.get(rate) for name, found in bounds.items()} for rate, what in _SHORT.items()},
    )
    yield Picture(drawn, f"{caption}: rates with their 95 % intervals; small groups are shown too")


def _rate(rate: float, interval: Any) -> Number:
    """Without an interval there is no row to tell the rate by."""
    if interval is None:
        return Number("no such row")
    return Number(f"{in_unit('percent', rate)}\n({in_unit('percent', *interval)})")
