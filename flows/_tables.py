"""A table for the person at the terminal, and for whoever looks at the Prefect UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from prefect.artifacts import acreate_table_artifact

if TYPE_CHECKING:
    from rich.table import Table

_ENDLESS = 1_000_000
_Rows = Sequence[Mapping[str, str]]


async def show_table(rows: _Rows, *, title: str, key: str, description: str) -> None:
    """Print `rows`, alike and one at least, and publish them as the artifact `key`.

    Parameters
    ----------
    description
        What the figures say: below the printed table, and beside the artifact.
    """
    from rich.console import Console

    console = Console(highlight=False)
    table = _wide(rows, title)
    # Measured without the bound that the terminal sets.
    asked = console.measure(table, options=console.options.update(width=_ENDLESS)).minimum
    console.print(table if asked <= console.width else _narrow(rows, title))
    # No caption: that would be broken where the table ends.
    console.print(description, markup=False)
    published: list[dict[str, Any]] = [dict(row) for row in rows]
    # The work does not depend on whether somebody can look at it.
    with suppress(Exception):
        await acreate_table_artifact(published, key=key, description=description)


def _wide(rows: _Rows, title: str) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for number, column in enumerate(rows[0]):
        table.add_column(column, justify="right" if number else "left", no_wrap=not number)
    for row in rows:
        # An interval on a line of its own: there may be many figures.
        table.add_row(*(cell.replace(" (", "\n(") for cell in row.values()))
    return table


def _narrow(rows: _Rows, title: str) -> Table:
    """One figure below the other, for a terminal that would cut the columns."""
    from rich.table import Table

    first, *figures = rows[0]
    table = Table("figure", first, title=title, title_justify="left")
    table.add_column("value", justify="right")
    for figure in figures:
        for number, row in enumerate(rows):
            table.add_row("" if number else figure, row[first], row[figure])
        table.add_section()
    return table
