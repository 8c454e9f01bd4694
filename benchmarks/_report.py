"""The results as Markdown: an overview, then each table."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks._comparison import METRICS, difference
from benchmarks._tables import TABLES
from benchmarks.peers import LEARNERS, learner

Result = Mapping[str, Any]

_OURS = LEARNERS[0]


def markdown(results: Path) -> str:
    """All tables of which `results` holds Lockstep's own figures."""
    found = {table: _read(results / table) for table in TABLES}
    found = {table: learners for table, learners in found.items() if _OURS in learners}
    return "\n\n".join([_overview(found), *(_detail(*item) for item in found.items())])


def _read(folder: Path) -> dict[str, Result]:
    paths = {name: folder / f"{name}.json" for name in LEARNERS}
    return {
        name: json.loads(path.read_text(encoding="utf-8")) for name, path in paths.items() if path.exists()
    }


def _overview(found: Mapping[str, Mapping[str, Result]]) -> str:
    """Average precision of each learner on each table."""
    lines = [_row("average precision", *found), _row(*["---"] * (1 + len(found)))]
    for name in LEARNERS:
        cells = [_mark(learners, name) for learners in found.values()]
        if any(cells):
            lines.append(_row(learner(name).TITLE, *cells))
    return "\n".join(lines)


def _mark(learners: Mapping[str, Result], name: str) -> str:
    result = learners.get(name, {})
    if not result.get("chosen"):
        return ""
    figure = f"{result['chosen']['metrics']['average_precision']:.4f}"
    if name == _OURS:
        return figure
    _, low, high = difference(learners[_OURS]["chosen"], result["chosen"], "average_precision")
    return f"{figure} {'▼' if low > 0 else '▲' if high < 0 else ''}".rstrip()


def _detail(table: str, learners: Mapping[str, Result]) -> str:
    """Figures of one table, and what Lockstep's are better by."""
    budgets = {f"{r['minutes']:g} {r['clock']} minutes" for r in learners.values()}
    ours = learners[_OURS]
    lines = [
        f"**{table}** ({ours['n_test']:,} test rows; search of {' or '.join(sorted(budgets))} a learner)",
        "",
        _row("learner", "trials", *(name.replace("_", " ") for name in METRICS)),
        _row(*["---"] * (2 + len(METRICS))),
    ]
    for name, result in learners.items():
        trials = sum(len(fold["trials"]) for fold in result["folds"])
        for which, title in (
            ("chosen", f"{learner(name).TITLE}, searched"),
            ("default", f"{learner(name).TITLE}, default"),
        ):
            cells = [_cell(ours[which], result[which], metric, name == _OURS) for metric in METRICS]
            lines.append(_row(title, str(trials) if which == "chosen" else "", *cells))
    return "\n".join(lines)


def _cell(ours: Result | None, theirs: Result | None, metric: str, is_ours: bool) -> str:
    if theirs is None:
        return "-"
    figure = f"{theirs['metrics'][metric]:.4f}"
    if is_ours or ours is None:
        return figure
    gain, low, high = difference(ours, theirs, metric)
    return f"{figure} ({gain:+.4f}, {low:+.4f} to {high:+.4f})"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
