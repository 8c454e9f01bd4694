"""`lockstep explain`: why the model that ships gives a test row its probability."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands._project import project_root, stage_arguments
from lockstep.errors import UsageError

if TYPE_CHECKING:
    from lockstep.bundle.decision import Decision
    from tasks.evaluate import Inputs

_SHOWN = 15


def explain(
    row: Annotated[int, typer.Argument(help="Number of the test row, from 0.", min=0)],
) -> None:
    """Show a test row's values, what each adds to its log-odds or takes from them (SHAP), and the decision.

    It is for whoever holds the key: all is printed to the terminal, and nothing is written to a file.
    """
    import numpy as np
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from lockstep.data.tables import raw_columns
    from lockstep.evaluation.explanations import shap_values
    from tasks._explanations import BACKGROUND, background_rows, pool_of
    from tasks.evaluate import arguments_of, read_inputs, rule_of

    project_root()
    inputs = read_inputs(arguments_of(stage_arguments("evaluate")))
    if row >= len(inputs.test):
        raise UsageError(f"There is no test row {row}: they are numbered from 0 to {len(inputs.test) - 1}.")
    asked, seed = inputs.test.take([row]), inputs.params.seed
    pool = pool_of(inputs.scorer, asked, inputs.validation, seed)
    values, base = shap_values(inputs.scorer.score, pool, np.arange(1), background_rows(pool, 1), seed)
    of_row, start, whose = values[0], base[0], str(inputs.params.positive)
    if classes := inputs.scorer.encoder.classes:
        likeliest = int(np.argmax(start + of_row.sum(axis=0)))
        of_row, start, whose = of_row[:, likeliest], start[likeliest], classes[likeliest]
    raw = raw_columns(asked, pool.names)
    order = np.argsort(-np.abs(of_row))
    table = Table()
    for name, side in (("column", "left"), ("value", "left"), ("log-odds", "right")):
        table.add_column(name, justify=side, overflow="fold")  # type: ignore[arg-type]
    table.add_row("base", "", f"{start:+.3f}")
    for column in order[:_SHOWN]:
        name = pool.names[column]
        table.add_row(Text(name), Text(_spoken(raw[name][0])), f"{of_row[column]:+.3f}")
    rest = order[_SHOWN:]
    if len(rest):
        table.add_row(f"{len(rest)} other columns", "", f"{of_row[rest].sum():+.3f}")
    odds = float(start + of_row.sum())
    table.add_row("sum", "", f"{odds:+.3f}", style="bold")
    # A title of the table would be broken where the table ends.
    print(
        f"Test row {row}: probability of {whose!r} {_probability(odds):.4f}, {_decided(inputs, asked, rule_of(inputs))}"
    )
    Console().print(table)
    print(
        f"The base is where every row starts: the mean log-odds of {BACKGROUND} validation rows that were drawn to "
        f"compare with, a\nprobability of {_probability(float(start)):.4f}."
        " From there each value moves this row up (+) or down (-). The sum is the row's\nprobability p as log-odds, "
        "ln(p / (1 - p))."
    )


def _decided(inputs: Inputs, asked: Any, rule: Decision) -> str:
    """How the row is decided, and by what."""
    from tasks._decision import decide, score

    code = int(decide(rule, asked, score(inputs.scorer, asked), inputs.scorer.encoder)[0])
    if rule.threshold is None:
        return f"decided as {inputs.scorer.encoder.classes[code]!r}, its likeliest class"
    decided = f"decided as {'' if code else 'not '}{inputs.params.positive!r}"
    if rule.groups:
        return f"{decided} by the thresholds of its group"
    return f"{decided}: the threshold is {rule.threshold:.4f}"


def _probability(odds: float) -> float:
    import math

    return 1 / (1 + math.exp(-odds))


def _spoken(value: Any) -> str:
    if value is None or value != value:
        return "(missing)"
    return value if isinstance(value, str) else f"{value:,.10g}"
