"""`lockstep tune`: propose a value for params.yaml from a few steps on the training rows.

A run never takes one by itself: it depends on the machine and its load, and a run's bytes must not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from flows.commands._project import project_root, recover
from lockstep.errors import UsageError

tune = typer.Typer(
    help="Propose a batch size or a learning rate from a few steps on the training rows.",
    no_args_is_help=True,
)

CURVE = Path(".lockstep/tune/learning_rate.svg")

_SMALLEST, _LARGEST = 64, 16384
_STEPS, _RANGE_STEPS = 20, 200
_STAGE = "train"


class _Training(NamedTuple):
    params: Any
    network: Any
    schedule: Any
    data: Any


@tune.command("batch-size")
def batch_size(
    minutes: Annotated[
        float | None, typer.Option(min=0.01, help="Time that the training may take at most.")
    ] = None,
) -> None:
    """Measure throughput and memory of a few steps at each size, and propose the smallest that serves."""
    import psutil

    from lockstep.models.rehearsal import rehearse
    from lockstep.models.throughput import measure, propose
    from lockstep.progress import track
    from tasks import train

    training = _training()
    n_rows = len(training.data.targets)
    ensemble = train.ensemble_of(training.params)

    def epochs(size: int) -> int:
        schedule = replace(training.schedule, batch_size=size)
        return sum(plan.epochs for plan in ensemble.schedules(schedule, training.data.targets))

    # A small table takes no larger steps, whatever params.yaml says.
    largest = replace(training.schedule, batch_size=_LARGEST).resolved(n_rows).batch_size
    sizes = [2**i for i in range(_LARGEST.bit_length()) if _SMALLEST <= 2**i <= largest] or [largest]
    memory = psutil.virtual_memory().available + psutil.Process().memory_info().rss
    measured = []
    with track("batch sizes", len(sizes)) as advance:
        for size in sizes:
            step = rehearse(training.network, replace(training.schedule, batch_size=size), training.data)
            measured.append(measure(lambda step=step: step(training.params.learning_rate), size, _STEPS))  # type: ignore[misc]
            advance(f"{size} rows")
    seconds = None if minutes is None else 60.0 * minutes
    _print_sizes(measured, n_rows, epochs)
    chosen = propose(measured, lambda size: n_rows * epochs(size), memory, seconds)
    _print_line("batch_size", chosen.batch_size, training.params.batch_size)


@tune.command("learning-rate")
def learning_rate() -> None:
    """Train at an exponentially growing rate, draw the loss, and propose a tenth of where it is lowest."""
    from lockstep.charts import chart
    from lockstep.files import write_atomic
    from lockstep.models.range_finder import range_test
    from lockstep.models.rehearsal import rehearse
    from lockstep.progress import track

    training = _training()
    resolved = training.schedule.resolved(len(training.data.targets))
    step = rehearse(training.network, resolved, training.data)
    with track("steps", _RANGE_STEPS) as advance:

        def watched(rate: float) -> float:
            loss = step(rate)
            advance(f"rate {rate:.1e}")
            return loss

        found = range_test(watched, _RANGE_STEPS)
    points = list(zip(found.rates, found.losses, strict=True))
    picture = chart(
        "Learning-rate range test", "learning rate", "smoothed loss",
        line=points, dots=[min(points, key=lambda point: abs(point[0] - found.proposal))], log=True,
    )  # fmt: skip
    write_atomic(CURVE, picture.encode())
    lowest = min(points, key=lambda point: point[1])
    print(
        f"{len(points)} steps of {resolved.batch_size} rows: the loss is lowest at a rate of {lowest[0]:.2g}."
    )
    print(f"Picture: {CURVE}")
    # Few rows lower the rate that params.yaml names.
    lowered = training.schedule.learning_rate / training.params.learning_rate
    _print_line("learning_rate", found.proposal / lowered, training.params.learning_rate)


def _training() -> _Training:
    """What `train` would train, and on which rows."""
    from flows._dvc import Pipeline
    from lockstep.data import decorrelation
    from lockstep.data.tables import SCHEMA, from_parquet
    from lockstep.sealing.vault import open_vault
    from tasks import train
    from tasks._params import load_params

    root = project_root()
    recover(root)
    params = load_params(train.TrainParams, "params.yaml")
    pipeline = Pipeline(root, [_STAGE])
    try:
        rows, transform, key_id = (
            pipeline.argument(_STAGE, option) for option in ("--train", "--transform", "--key-id")
        )
        upstream = [name for name, _, _ in pipeline.outdated() if name != _STAGE]
        before = [stage.name for stage in pipeline.plan if stage.name != _STAGE]
    finally:
        pipeline.close()
    if rows is None or transform is None or key_id is None:
        raise UsageError(
            f"The stage {_STAGE} of dvc.yaml is not Lockstep's own: it lacks --train, --transform or --key-id."
        )
    if upstream or not Path(rows).exists():
        raise UsageError(f"{rows} is not up to date. Run `lockstep run {' '.join(before[-1:])}` first.")
    vault = open_vault(params.project, key_id)
    table = from_parquet(vault.read(rows, role="resampled-train", schema=SCHEMA), compact=True)
    removed = vault.read(transform, role="transform", schema=decorrelation.SCHEMA)
    encoder, data = train.encode(table, params, decorrelation.from_json(removed))
    network, schedule, ensemble = train.plan_of(encoder, params, len(data.targets))
    if ensemble.method == "joint":
        network = replace(network, members=ensemble.members)
    return _Training(params, network, schedule, data)


def _print_sizes(measured: Any, n_rows: int, epochs: Callable[[int], int]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{n_rows:,} training rows", title_justify="left")
    for column in ("batch size", "rows a second", "peak memory", "an epoch", "epochs", "all epochs"):
        table.add_column(column, justify="right")
    for one in measured:
        seconds = n_rows / one.rows_per_second
        table.add_row(
            str(one.batch_size),
            f"{one.rows_per_second:,.0f}",
            f"{one.peak_bytes / 2**20:,.0f} MiB",
            f"{seconds:.1f} s",
            str(epochs(one.batch_size)),
            f"{seconds * epochs(one.batch_size):.0f} s",
        )
    Console().print(table)


def _print_line(name: str, value: float, now: float) -> None:
    if value == now:
        print(f"params.yaml has the proposed value already, under train:  {name}: {value}")
    else:
        print(f"Write into params.yaml, under train:  {name}: {value}   (now {now})")
