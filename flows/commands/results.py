"""`lockstep results`: what the last run came to, and where everything lies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flows.commands._project import project_root
from lockstep.errors import UsageError

_METRICS = (
    ("roc_auc", "ROC AUC"),
    ("average_precision", "average precision"),
    ("error_rate", "error rate"),
    ("brier", "Brier score"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("f1", "F1"),
)


def results() -> None:
    """Print the metrics, the gates and the verdict of the last run, and where to look."""
    from rich.console import Console
    from rich.table import Table

    from flows._champion import comparison
    from flows._recorded import read_evaluation
    from flows.commands._outcome import outcome
    from flows.commands._stale import notice
    from lockstep.evaluation.card.blocks import words
    from lockstep.evaluation.gate_words import asked_of, figure_of, interval_of

    root = project_root()
    evaluation = read_evaluation(root)
    console = Console()
    figures = Table(title=f"Shipped model on {evaluation['n_test']:,} test rows", title_justify="left")
    figures.add_column("metric")
    figures.add_column("all rows", justify="right")
    figures.add_column("unseen rows", justify="right")
    unseen = evaluation["unseen"]["metrics"] or {}
    for name, title in _METRICS:
        figures.add_row(title, _number(evaluation["metrics"][name]), _number(unseen.get(name)))
    console.print(figures)
    gates = Table(title="Gates", title_justify="left")
    for column in ("gate", "figure", "95 % interval", "threshold", "verdict"):
        # Names that differ at their ends must not be cut.
        gates.add_column(column, overflow="fold")
    beside = comparison(root, evaluation["candidate"]) or {}
    for gate in [*evaluation["gates"], *beside.get("gates", ())]:
        gates.add_row(
            words(gate["gate"]), figure_of(gate), interval_of(gate), asked_of(gate), gate["verdict"]
        )
    console.print(gates)
    console.print(_candidates())
    came = outcome(root, evaluation)
    lines = [*came.told, *filter(None, [notice(root)])]
    if warned := _read("reports/validate.json").get("n_warned", 0):
        lines.append(
            f"Source:  {warned:,} warnings of the expectation suite; reports/validation.html shows them"
        )
    lines.append(
        "Look further:  `lockstep report`  reports/  reports/validation.html  `dvc plots show`  `dvc dag`"
    )
    lines += [f"{'' if i else 'Next:':15}{step}" for i, step in enumerate(came.steps)]
    for line in lines:
        console.print(line, soft_wrap=True, highlight=False, markup=False)


def _candidates() -> Any:
    """Table of what `compress` chose from; the latency is missing where another machine ran it."""
    from rich.table import Table

    from tasks._provenance import records

    report = _read("reports/compress.json")
    latency = records().get("compress", {}).get("microseconds_per_row", {})
    table = Table(title="Float and int8 models, judged on validation", title_justify="left")
    table.add_column("model")
    for column in ("bytes", "average precision", "change", "one row"):
        table.add_column(column, justify="right")
    for name, figures in report["candidates"].items():
        table.add_row(
            f"{name} (ships)" if name == report["shipped"] else name,
            f"{figures['bytes']:,}",
            _number(figures["validation"]["average_precision"]),
            f"{figures['change']['average_precision']:+.4f}",
            f"{latency[name]:.1f} µs" if name in latency else "",
        )
    return table


def _read(path: str) -> dict[str, Any]:
    try:
        return json.loads(Path(path).read_bytes())
    except FileNotFoundError:
        raise UsageError(
            f"{path} is not here: nothing was evaluated yet. Run `lockstep run` first."
        ) from None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
