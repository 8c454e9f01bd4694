"""What a search found: a table in the terminal, pictures, and Prefect artifacts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from prefect.artifacts import acreate_image_artifact, acreate_table_artifact

from flows._search_space import Domain
from flows._study import PLACE, Study
from lockstep.charts import bars, chart, data_url
from lockstep.files import write_atomic

_SHOWN = 10
_STATES = {TrialState.COMPLETE: "trained", TrialState.PRUNED: "given up", TrialState.FAIL: "failed"}


async def publish(root: Path, study: Study, space: Mapping[str, Domain]) -> None:
    """Print the best trials, draw how the search went and what matters, and show it all in Prefect's UI."""
    if not study.ranking:
        return
    _print(study, space)
    pictures = {"history": history(study)}
    importance = study.importance()
    if importance:
        pictures["importance"] = bars("Share of each parameter in the differences between trials", importance)
    for name, picture in pictures.items():
        write_atomic(root / PLACE / f"{name}.svg", picture.encode())
    print(f"Pictures: {', '.join(str(PLACE / f'{name}.svg') for name in pictures)}", flush=True)
    # The work does not depend on whether somebody can look at it.
    with suppress(Exception):
        table = [
            {
                "trial": t.number,
                "state": _STATES[t.state],
                "average precision": _figure(t),
                **_values(t, space),
            }
            for t in study.ended
        ]
        best = study.experiment(study.ranking[0].number)
        await acreate_table_artifact(
            table,
            key="search",
            description="Trials, by average precision on the validation rows. "
            f"`lockstep apply {best}` brings in the best.",
        )
        for name, picture in pictures.items():
            await acreate_image_artifact(
                data_url(picture), key=f"search-{name}", description=f"Picture: {PLACE / f'{name}.svg'}"
            )


def history(study: Study) -> str:
    """Picture of what each trial reached, and of the best until then."""
    dots = [(float(t.number), float(t.value or 0.0)) for t in study.ended if t.state is TrialState.COMPLETE]
    faint = [
        (float(t.number), t.intermediate_values[t.last_step])
        for t in study.ended
        if t.state is TrialState.PRUNED and t.last_step is not None
    ]
    line, best = [], 0.0
    for number, value in dots:
        best = max(best, value)
        line.append((number, best))
    return chart(
        "Trials (hollow: given up), and the best until then", "trial", "average precision, validation rows",
        line=line, dots=dots, faint=faint,
    )  # fmt: skip


def _print(study: Study, space: Mapping[str, Domain]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        title=f"The best of {len(study.ended)} trials, on the validation rows", title_justify="left"
    )
    for column in ("experiment", "average precision", *space):
        table.add_column(column, justify="left" if column == "experiment" else "right")
    for trial in study.ranking[:_SHOWN]:
        table.add_row(study.experiment(trial.number), _figure(trial), *_values(trial, space).values())
    Console().print(table)


def _values(trial: FrozenTrial, space: Mapping[str, Domain]) -> dict[str, Any]:
    return {name: domain.text(trial.params[name]) for name, domain in space.items() if name in trial.params}


def _figure(trial: FrozenTrial) -> str:
    return f"{trial.value:.4f}" if trial.state is TrialState.COMPLETE else ""
