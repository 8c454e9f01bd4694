"""What `lockstep init` found, as a table for a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lockstep.data.findings import Finding
    from lockstep.data.project import Roles
    from lockstep.sealing.keyring import SetUp

_MAX_ROWS = 60


def show(roles: Roles, project: str, keys: SetUp, written: Sequence[str]) -> None:
    """Print columns, advice, what was written, and the next command."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(title=f"{roles.n_rows:,} rows, {len(roles.findings):,} columns", title_justify="left")
    for heading in ("column", "role", "kind", "missing", "holds", "advice"):
        table.add_column(heading, justify="right" if heading == "missing" else "left", overflow="fold")
    shown = _shown(roles)
    for found in shown:
        missing = f"{found.missing:.1%}" if found.missing else ""
        cells = (found.column, _role(roles, found), found.kind, missing, _holds(roles, found), found.advice)
        # Text, for a column may be named [like this].
        table.add_row(*map(Text, cells))
    console.print(table)
    if len(shown) < len(roles.findings):
        console.print(f"{len(roles.findings) - len(shown):,} more columns are not shown.")
    for note in roles.notes:
        console.print(f"Note: {note}.", soft_wrap=True)
    lines = [
        _target(roles),
        f"Project {project}. Written: {', '.join(written)}.",
    ]
    if keys.created:
        lines.append(
            f"A new keyring lies at {keys.keyring}. Back it up: without it nothing sealed can be opened again."
        )
    if not roles.sensitive:
        lines.append("No sensitive feature is named, so no group is audited: --sensitive A,B names some.")
    lines.append(
        "Next: review data/expectations.json and the gates in params.yaml, commit them, then `lockstep run`."
    )
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def _shown(roles: Roles) -> list[Finding]:
    """All columns of a narrow table; of a wide one first those with a role or advice, in the table's order."""
    if len(roles.findings) <= _MAX_ROWS:
        return list(roles.findings)
    ranked = sorted(roles.findings, key=lambda found: _role(roles, found) == "feature" and not found.advice)
    chosen = {found.column for found in ranked[:_MAX_ROWS]}
    return [found for found in roles.findings if found.column in chosen]


def _target(roles: Roles) -> str:
    if roles.positive is None:
        return f"Target {roles.target}: {len(roles.classes)} classes."
    share = roles.classes[roles.positive] / roles.n_rows
    return f"Target {roles.target}: positive is {roles.positive!r}, in {share:.2%} of the rows."


def _holds(roles: Roles, found: Finding) -> str:
    if found.column != roles.target:
        return found.holds
    return ", ".join(f"{label}: {rows:,}" for label, rows in roles.classes.items())


def _role(roles: Roles, found: Finding) -> str:
    if found.column == roles.target:
        return "target"
    if found.column in roles.sensitive:
        return "sensitive"
    if found.column in (roles.time, roles.id):
        return "time" if found.column == roles.time else "id"
    return "feature" if found.feature else "left out"
