"""The card's section on gates: what each asks, what was found, and what a person approved in spite of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lockstep.evaluation.card.blocks import Block, Document, Table, table_of, words
from lockstep.evaluation.card.cells import Number
from lockstep.evaluation.gate_words import asked_of, figure_of, interval_of, what_it_is

_HOW = (
    "Each gate compares one figure of the model that ships with a threshold of params.yaml. The figure decides. The "
    "interval says how far other rows could have moved the figure, and decides nothing. The verdict of all gates is "
    "the worst of them."
)
_COLUMNS = ("gate", "verdict", "figure (95 % interval)", "asked", "what the figure is", "rows")


def gates(document: Document) -> Iterator[Block]:
    """Every gate with its verdict, and the approvals of those that did not pass."""
    evaluation = document["reports"].get("evaluation") or {}
    if not evaluation:
        yield "Nothing was evaluated yet."
        return
    yield _HOW
    yield gates_table(evaluation["gates"])
    comparison = document.get("comparison")
    if comparison:
        yield from _against_the_champion(comparison)
    if overrides := document.get("override"):
        rows = [{**override, "gate": words(override["gate"])} for override in overrides]
        yield table_of("Approved in spite of its verdict", "gate", rows)


def all_gates(document: Document) -> list[Mapping[str, Any]]:
    """Those of the evaluation, and those against the champion."""
    evaluation, comparison = document["reports"].get("evaluation") or {}, document.get("comparison") or {}
    return [*evaluation.get("gates", ()), *comparison.get("gates", ())]


def _against_the_champion(comparison: Mapping[str, Any]) -> Iterator[Block]:
    served = "of unknown version" if comparison["version"] is None else f"version {comparison['version']}"
    yield (
        f"The model was compared with the champion of that time ({served}) on the same test rows. The "
        "interval is that of the paired bootstrap: both are judged on the same draws of the rows."
    )
    if comparison["not_compared"]:
        yield f"The champion has no answers to these rows: {comparison['not_compared']}"
    yield gates_table(comparison["gates"], "Gates against the champion, on the test rows")
    if comparison["figures"]:
        rows = [{"figure": words(name), **of_both} for name, of_both in comparison["figures"].items()]
        yield table_of("Both models on the test rows", "figure", rows)


def gates_table(
    found: Sequence[Mapping[str, Any]], caption: str = "Gates of the model that ships, on the test rows"
) -> Table:
    """Each gate with what its figure is, in words and in its unit."""
    rows = [
        (
            words(gate["gate"]),
            gate["verdict"],
            Number(f"{figure_of(gate)}\n({interval_of(gate)})" if gate["interval"] else figure_of(gate)),
            Number(asked_of(gate)),
            _said(gate),
            gate["n_rows"],
        )
        for gate in found
    ]
    return Table(caption, _COLUMNS, rows, open=True)


def _said(gate: Mapping[str, Any]) -> str:
    left_out = ", ".join(gate.get("left_out", ()))
    return what_it_is(gate) + (f". Left out, for their few rows: {left_out}" if left_out else "")
