"""A table for the person at the terminal, and for whoever looks at the Prefect UI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from prefect.artifacts import acreate_table_artifact


async def show_table(rows: Sequence[Mapping[str, str]], *, title: str, key: str, description: str) -> None:
    """Print `rows`, alike and one at least, and publish them as the artifact `key`.

    Parameters
    ----------
    description
        What the figures say: below the printed table, and beside the artifact.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for number, column in enumerate(rows[0]):
        table.add_column(column, justify="right" if number else "left", no_wrap=not number)
    for row in rows:
        # An interval on a line of its own: there may be many figures.
        table.add_row(*(cell.replace(" (", "\n(") for cell in row.values()))
    console = Console(highlight=False)
    console.print(table)
    # No caption: that would be broken where the table ends.
    console.print(description, markup=False)
    published: list[dict[str, Any]] = [dict(row) for row in rows]
    # The work does not depend on whether somebody can look at it.
    with suppress(Exception):
        await acreate_table_artifact(published, key=key, description=description)
