"""What a stage's report says, as Prefect artifacts: tables and pictures of counts and statistics alone.

A report is an output of its stage, and holds no person's value. The keys are stable: under each of them
Prefect shows how the figures went from run to run.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.artifacts import (
    acreate_image_artifact,
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_table_artifact,
)

from flows._curves import curve

if TYPE_CHECKING:
    from lockstep.bundle.manifest import Manifest

Comparison = Sequence[tuple[str, Any, Any]]

_REPORTS = Path("reports")


async def publish(stage: str) -> None:
    """Make the artifacts of `stage` from its reports in the working directory; of another stage none."""
    make = _OF_STAGE.get(stage)
    if make:
        # The work does not depend on whether somebody can look at it.
        with suppress(Exception):
            await make()


async def publish_comparison(name: str, rows: Comparison) -> None:
    """Make the artifact of an experiment's metrics beside the workspace's."""
    table = [{"metric": m, "workspace": _figure(old), name: _figure(new)} for m, old, new in rows]
    with suppress(Exception):
        await acreate_table_artifact(
            table, key="experiment", description=f"Experiment {name}. `lockstep apply {name}` brings it in."
        )


async def _validate() -> None:
    report = _read("validate.json")
    counts: dict[str, list[int]] = {}
    for result in report["results"]:
        counts.setdefault(result["expectation"], []).append(bool(result["passed"]))
    await acreate_table_artifact(
        [
            {"expectation": kind, "passed": sum(passed), "failed": len(passed) - sum(passed)}
            for kind, passed in sorted(counts.items())
        ],
        key="validation",
        description=f"{report['n_expectations']:,} expectations of {report['n_rows']:,} rows, "
        f"{report['n_failed']:,} failed. {_where('validate.json')}",
    )


async def _debias() -> None:
    report = _read("debias.json")
    await acreate_table_artifact(
        [
            {
                "feature": feature,
                **found,
                "dropped": "as a proxy" if feature in report["proxies_dropped"] else "",
            }
            for feature, found in sorted(
                report["associations"].items(), key=lambda item: -max(item[1].values(), default=0.0)
            )
        ],
        key="bias",
        description="Cramér's V of each feature with each sensitive one, on the training rows. "
        f"Sensitive features dropped: {', '.join(report['sensitive_dropped']) or 'none'}. {_where('debias.json')}",
    )


async def _resample() -> None:
    report = _read("resample.json")
    rows = [
        {
            "training rows": when,
            "rows": report[when]["n_rows"],
            **_balance(report[when]),
            "made by the sampler": report[when].get("n_made", 0),
        }
        for when in ("before", "after")
    ]
    await acreate_table_artifact(
        rows,
        key="balance",
        description=f"Classes before and after `{report['method']}`. {_where('resample.json')}",
    )


def _balance(counts: dict[str, Any]) -> dict[str, Any]:
    """Rows of the positive class and their share, or the rows of each of several classes."""
    if "by_class" in counts:
        return dict(counts["by_class"])
    return {"positive": counts["n_positive"], "share": f"{counts['n_positive'] / counts['n_rows']:.4f}"}


async def _evaluate() -> None:
    from flows._champion import champion

    report = _read("evaluation.json")
    await acreate_link_artifact(
        (_REPORTS / "evaluation.json").resolve().as_uri(),
        "reports/evaluation.json",
        key="report",
        description="The whole report, on the machine that ran the stage; `lockstep results` prints it.",
    )
    await acreate_markdown_artifact(
        # The bundle that is served until `deploy` promotes another.
        _metrics(report, champion()),
        key="metrics",
        description=_where("evaluation.json"),
    )
    await acreate_table_artifact(
        [
            {"sensitive feature": sensitive, "group": group, **{k: _figure(v) for k, v in figures.items()}}
            for sensitive, audited in report["fairness"].items()
            for group, figures in audited["groups"].items()
        ],
        key="groups",
        description="Rates of each group on the test rows. "
        + " ".join(
            f"{sensitive}: {', '.join(_difference(*found) for found in audited['evidence'].items())}."
            for sensitive, audited in report["fairness"].items()
        ),
    )
    for name, title, x, y in (
        ("roc", "ROC curve on the test rows", "false_positive_rate", "true_positive_rate"),
        ("pr", "Precision-recall curve on the test rows", "recall", "precision"),
    ):
        points = [(point[x], point[y]) for point in _read(f"{name}.json")]
        picture = curve(points, title, x.replace("_", " "), y.replace("_", " "))
        url = f"data:image/svg+xml;base64,{base64.b64encode(picture.encode()).decode()}"
        await acreate_image_artifact(url, key=name, description=f"{title}. {_where(f'{name}.json')}")


async def _deploy() -> None:
    from lockstep.evaluation.gate_words import asked_of, figure_of, interval_of
    from tasks._champion import COMPARISON

    comparison = json.loads(COMPARISON.read_bytes())
    if comparison:
        await acreate_table_artifact(
            [
                {
                    "gate": gate["gate"],
                    "figure": figure_of(gate),
                    "95 % interval": interval_of(gate),
                    "threshold": asked_of(gate),
                    "verdict": gate["verdict"],
                }
                for gate in comparison["gates"]
            ],
            key="champion",
            description=f"Beside version {comparison['version']}, which it was compared with, on "
            f"{comparison['n_rows']:,} test rows: how much worse the new champion is (below 0: better).",
        )


def _difference(name: str, found: dict[str, Any]) -> str:
    left_out = f" (without {', '.join(found['left_out'])}: too few rows)" if found["left_out"] else ""
    return f"{name.replace('_', ' ')} {_figure(found['figure']) or 'unknown'}{left_out}"


def _metrics(report: dict[str, Any], champion: Manifest | None) -> str:
    intervals = report["intervals"]
    unseen = report["unseen"]["metrics"] or {}
    columns = [
        "metric",
        f"{report['n_test']:,} test rows",
        "95 % interval",
        f"{report['unseen']['n_test']:,} unseen rows",
    ]
    rows = [
        [name, _figure(value), _interval(intervals.get(name)), _figure(unseen.get(name))]
        for name, value in report["metrics"].items()
    ]
    if champion:
        columns.append(f"champion (version {champion.version})")
        for row in rows:
            row.append(_figure(champion.metrics.get(row[0])))
    lines = [
        f"**Verdict: {report['verdict']}**\n",
        _row(columns),
        _row(["---"] * len(columns)),
        *map(_row, rows),
    ]
    lines += ["", "| gate | figure | 95 % interval | threshold | rows | verdict |", "| --- |" + " --- |" * 5]
    lines += [
        f"| {gate['gate']} | {_figure(gate['figure'])} | {_interval(gate['interval'])} "
        f"| {gate['direction']} {gate['threshold']} | {gate['n_rows']:,} | {gate['verdict']} |"
        for gate in report["gates"]
    ]
    return "\n".join(lines)


_OF_STAGE: dict[str, Callable[[], Awaitable[None]]] = {
    "validate": _validate,
    "debias": _debias,
    "resample": _resample,
    "evaluate": _evaluate,
    "deploy": _deploy,
}


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _read(name: str) -> Any:
    return json.loads((_REPORTS / name).read_bytes())


def _where(name: str) -> str:
    return f"Report: {_REPORTS / name}"


def _interval(interval: Sequence[float] | None) -> str:
    return "" if interval is None else " to ".join(f"{bound:.4f}" for bound in interval)


def _figure(value: Any) -> str:
    if value is None:
        return ""
    return (
        f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
    )
