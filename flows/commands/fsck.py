"""`lockstep fsck`: check every stored file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands._project import project_root
from lockstep.errors import LockstepError

if TYPE_CHECKING:
    from flows._repair import Result


def fsck(
    repair: Annotated[
        bool, typer.Option("--repair", help="Set damaged files aside, and fetch or restore good ones.")
    ] = False,
    params: Annotated[Path, typer.Option("--params", help="Parameter file that names the project.")] = Path(
        "params.yaml"
    ),
) -> None:
    """Check every sealed file of the workspace, of DVC's cache and of the registry, and that dvc.lock's are there."""
    from rich.console import Console
    from rich.progress import Progress

    from flows._cache import Store
    from flows._fsck import Fsck, remedy
    from flows._locks import RUN, only_one
    from flows._repair import QUARANTINE, Repair, Result
    from flows.commands.sealing import project_of
    from lockstep.bundle.registry import registry_root
    from lockstep.sealing.vault import open_vault

    root = project_root()
    store, console = Store(root), Console()
    busy = "The pipeline runs ({owner}). Check when it has ended."
    try:
        with only_one(root / RUN, busy, keep=True), store.locked("lockstep fsck"):
            check = Fsck(store, open_vault(project_of(params), None), registry_root(root / "registry"))
            with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
                task = progress.add_task("checking", total=check.total)
                findings = check.run(lambda: progress.advance(task))
            repairing = Repair(check)
            results = repairing.run(findings) if repair else [Result(each, remedy(each)) for each in findings]
    finally:
        store.close()
    if results:
        console.print(_table(results, root))
    bad = [result for result in results if result.finding.is_damage and not result.good]
    console.print(f"{check.total} files and bundles checked, {len(bad)} to see to.")
    if check.not_pulled:
        console.print(
            f"{check.not_pulled} outputs that dvc.lock names are not here yet: `dvc pull`, or `lockstep run`."
        )
    if bad:
        raise LockstepError(
            f"{len(bad)} stored files are not what they should be."
            + (f" The damaged ones lie in {QUARANTINE}." if repairing.set_aside else "")
        )


def _table(results: list[Result], root: Path) -> object:
    from rich.table import Table

    table = Table(show_lines=True)
    for title in ("file", "what is wrong", "what next"):
        table.add_column(title, overflow="fold")
    for result in results:
        finding = result.finding
        path = finding.path.relative_to(root) if finding.path.is_relative_to(root) else finding.path
        table.add_row(str(path), f"{finding.trouble.value}: {finding.detail}", result.outcome)
    return table
