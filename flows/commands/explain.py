"""`lockstep explain`: why the model that ships gives a test row its probability."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.commands._project import project_root, stage_arguments
from lockstep.errors import UsageError

_SHOWN = 15


def explain(
    row: Annotated[int, typer.Argument(help="Number of the test row, from 0.", min=0)],
) -> None:
    """Show how much each column adds to or takes from a test row's log-odds (SHAP), in the terminal alone."""
    import numpy as np
    from rich.console import Console
    from rich.table import Table

    from lockstep.evaluation.explanations import shap_values
    from tasks._explanations import background_rows, pool_of
    from tasks.evaluate import arguments_of, read_inputs

    project_root()
    inputs = read_inputs(arguments_of(stage_arguments("evaluate")))
    if row >= len(inputs.test):
        raise UsageError(f"There is no test row {row}: they are numbered from 0 to {len(inputs.test) - 1}.")
    seed = inputs.params.seed
    pool = pool_of(inputs.scorer, inputs.test.take([row]), inputs.validation, seed)
    values, base = shap_values(inputs.scorer.score, pool, np.arange(1), background_rows(pool, 1), seed)
    of_row, start, whose = values[0], base[0], "of the positive class"
    if classes := inputs.scorer.encoder.classes:
        likeliest = int(np.argmax(start + of_row.sum(axis=0)))
        of_row, start, whose = of_row[:, likeliest], start[likeliest], f"of {classes[likeliest]}"
    odds = float(start + of_row.sum())
    order = np.argsort(-np.abs(of_row))
    probability = 1 / (1 + np.exp(-odds))
    table = Table()
    table.add_column("column")
    table.add_column("log-odds", justify="right")
    for column in order[:_SHOWN]:
        table.add_row(pool.names[column], f"{of_row[column]:+.3f}")
    rest = order[_SHOWN:]
    if len(rest):
        table.add_row(f"{len(rest)} other columns", f"{of_row[rest].sum():+.3f}")
    table.add_row("mean of the background", f"{start:+.3f}")
    # A title of the table would be broken where the table ends.
    print(f"Test row {row}: probability {whose} {probability:.4f}")
    Console().print(table)
