"""The flow that compares methods for one place in the pipeline: one Prefect task run a method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed
from pydantic import Field

from flows import _yaml
from flows._calls import Calls, inputs_of
from flows._command import StageCall
from flows._comparisons import Comparison, comparison
from flows._display import make_display
from flows._dvc import Pipeline
from flows._flow_run import alone
from flows._overrides import override
from flows._tables import show_table
from flows._walk import bring_up_to_date
from lockstep.charts import panels
from lockstep.evaluation.card.blocks import words
from lockstep.files import write_atomic
from tasks._stage import read_report, write_report

SCRATCH = Path(".lockstep/compare")

Reports = Mapping[str, Mapping[str, Any]]


# `async`, for a synchronous flow joins its heartbeat thread at the end, which sleeps in steps of a second.
@flow(name="compare", persist_result=False)
async def compare(
    what: str = "resample",
    methods: Sequence[str] = (),
    overrides: Sequence[str] = (),
    jobs: Annotated[int, Field(ge=1)] = 1,
) -> State[Any]:
    """Train once a method, and judge each on the validation rows; test rows stay untouched.

    Args:
        what: What is compared, such as resample.
        methods: Names of methods; all where there are none.
        overrides: Parameters for all of them, each as KEY=VALUE.
        jobs: How many of them may run side by side.
    """  # Not numpydoc: Prefect takes the texts of its form from here, and reads this style alone.
    root = Path.cwd()
    return await alone(root, partial(_compare, root, what, methods, overrides, jobs))


# They are JSON as they stand, and Prefect would import FastAPI to find that out.
compare.serialize_parameters = dict  # type: ignore[method-assign, assignment]


async def _compare(
    root: Path, what: str, methods: Sequence[str], overrides: Sequence[str], jobs: int
) -> State[Any]:
    chosen, names = comparison(what, methods)
    scratch = root / SCRATCH / what
    _write_params(root, scratch, chosen, names, overrides)
    before, arguments = inputs_of(root, chosen.stages, chosen.inputs)
    if before:
        state, _ = await bring_up_to_date(root, before, jobs=jobs)
        if not state.is_completed():
            return state

    def report_of(name: str) -> Path:
        return scratch / f"{name}.json"

    calls = {
        name: StageCall(
            chosen.module,
            [*arguments, "--params", str(scratch / f"{name}.yaml"), "--report", str(report_of(name))],
            (),
        )
        for name in names
    }
    with make_display(table=False) as display:
        run = Calls(
            root, display, "method", jobs, lambda name: _outcome(read_report(report_of(name))), go_on=True
        )
        stopped, failures = await run.make(calls)
    if stopped:
        return Cancelled(message="A method was stopped.")
    reports = {name: read_report(report_of(name)) for name in names if name not in failures}
    why = [f"{name} failed: {message}" for name, message in failures.items()]
    if not reports:
        return Failed(message="\n".join(why))
    write_report(scratch.with_suffix(".json"), {"overrides": list(overrides), "methods": reports})
    path = scratch.with_suffix(".svg")
    write_atomic(path, _draw(what, reports).encode())
    await show_table(
        _rows(reports), title=f"Methods of {what}", key=f"compare-{what}", description=chosen.note
    )
    done = f"{len(reports)} methods were trained and judged. Picture: {path.relative_to(root)}"
    return Completed(message="\n".join([*why, done]))


def _write_params(
    root: Path, scratch: Path, chosen: Comparison, names: Sequence[str], overrides: Sequence[str]
) -> None:
    pipeline = Pipeline(root, chosen.stages)
    try:
        readers = pipeline.readers()
    finally:
        pipeline.close()
    for name in names:
        params = _yaml.load(root / "params.yaml")
        # The method's own come last: they are what is compared.
        override(params, [*overrides, *chosen.methods[name]], readers, root)
        write_atomic(scratch / f"{name}.yaml", _yaml.dump(params))


def _outcome(report: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{words(figure)} {value:.4g}" for figure, value in report["figures"].items() if value is not None
    )


def _draw(what: str, reports: Reports) -> str:
    figures = next(iter(reports.values()))["figures"]
    return panels(
        f"Methods of {what}, on the validation rows",
        {
            words(figure): {name: report["figures"][figure] for name, report in reports.items()}
            for figure in figures
        },
        {
            words(figure): {name: report.get("intervals", {}).get(figure) for name, report in reports.items()}
            for figure in figures
        },
    )


def _rows(reports: Reports) -> list[dict[str, str]]:
    rows = []
    for name, report in reports.items():
        intervals = report.get("intervals", {})
        row = {"method": name}
        for figure, value in report["figures"].items():
            low_high = intervals.get(figure)
            text = "no evidence" if value is None else f"{value:.{1 if figure == 'seconds' else 4}f}"
            row[words(figure)] = f"{text} ({low_high[0]:.4f} to {low_high[1]:.4f})" if low_high else text
        rows.append(row)
    return rows
