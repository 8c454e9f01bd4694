"""`lockstep report`: the model card of the last run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.commands._project import project_root
from lockstep.errors import UsageError


def report(
    compare: Annotated[
        str | None,
        typer.Option(metavar="OTHER", help="An experiment or a Git revision to set beside the workspace."),
    ] = None,
) -> None:
    """Write the model card, one page that works offline, and open it where there is a browser."""
    root = project_root()
    if compare is not None and not compare.strip():
        raise UsageError(
            "--compare is empty. Name an experiment (`dvc exp show` lists them) or a Git revision."
        )
    from flows._card import write_card, write_comparison
    from flows.commands._stale import notice

    page = write_card(root) if compare is None else write_comparison(root, compare)
    print(page.relative_to(root))
    if stale := notice(root):
        # Beside the page's path, which a script may read.
        print(stale, file=sys.stderr)
    _open(page)


def _open(page: Path) -> None:
    """Show the page, where that neither takes over the terminal nor waits for one."""
    graphical = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if graphical:
        import webbrowser

        webbrowser.open(page.as_uri())
