"""The card's section on quality: the figures, and how a probability becomes a decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lockstep.evaluation.card.blocks import Block, Document, Table, of_any, words
from lockstep.evaluation.gate_words import in_unit

_OF_DECISIONS = ("threshold", "f1", "precision", "recall", "error_rate")
"""Figures that another threshold changes."""
_OWN_WORDS = ("chosen_for", "parity_limits", "validation")


def metrics(document: Document) -> Iterator[Block]:
    """Figures of the model that ships, on all test rows and on those that are like no training row."""
    evaluation = document["reports"].get("evaluation") or {}
    if not evaluation:
        return
    figures, unseen = evaluation["metrics"], evaluation.get("unseen") or {}
    intervals, of_unseen = evaluation.get("intervals", {}), unseen.get("metrics") or {}
    plain = {name: value for name, value in figures.items() if not isinstance(value, dict | list)}
    rows = [
        (words(name), value, intervals.get(name, ""), of_unseen.get(name, ""))
        for name, value in plain.items()
    ]
    counts = f"{evaluation['n_test']:,} test rows", f"{unseen.get('n_test', 0):,} unseen rows"
    columns = ("metric", counts[0], "95 % interval", counts[1])
    yield Table("Figures of the model that ships", columns, rows)
    for name, value in figures.items():
        if name not in plain:
            yield from of_any(name, value)
    yield (
        "Unseen rows are test rows whose features no training or validation row shares. The interval of the "
        "calibration error allows for what a sample adds to it, and may lie below the figure."
    )
    if threshold := evaluation.get("threshold"):
        yield from _decision(threshold, figures.get("threshold"))


def _decision(found: Mapping[str, Any], threshold: float | None) -> Iterator[Block]:
    yield _of_groups(found) if "of_groups" in found else _for_everybody(found, threshold)
    on_validation = found.get("validation") or {}
    rows = [
        (words(name), *(of.get(name, "") for of in on_validation.values()))
        for name in _OF_DECISIONS
        if any(name in of for of in on_validation.values())
    ]
    if rows:
        columns = ("metric", *map(words, on_validation))
        yield Table("What that costs, on the validation rows", columns, rows)
    yield from of_any("Decision", {name: part for name, part in found.items() if name not in _OWN_WORDS})


def _of_groups(found: Mapping[str, Any]) -> str:
    constraint, protected = (
        found["of_groups"]["constraint"],
        " & ".join(map(words, found["of_groups"]["protected"])),
    )
    return (
        f"Each group of {protected} has thresholds of its own: on the validation rows the best for "
        f"{words(found['chosen_for'])} of those that keep to {words(constraint)}. Between two of them a coin decides, "
        "which falls alike for the same row."
    )


def _for_everybody(found: Mapping[str, Any], threshold: float | None) -> str:
    limits = ", ".join(
        f"{in_unit('points', limit)} between groups of {words(feature)}"
        for feature, limit in (found.get("parity_limits") or {}).items()
    )
    within = f", of those that keep the demographic parity difference there within {limits}" if limits else ""
    return (
        f"A row is decided as positive from a probability of {threshold:.4g} on: the best for "
        f"{words(found['chosen_for'])} on the validation rows{within}."
    )
