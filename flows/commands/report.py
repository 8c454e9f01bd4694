"""`lockstep report`: the model card of the last run."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.commands._project import project_root


def report(
    compare: Annotated[
        str,
        typer.Option(metavar="OTHER", help="An experiment or a Git revision to set beside the workspace."),
    ] = "",
) -> None:
    """Write the model card, one page that works offline, and open it where there is a browser."""
    from flows._card import write_card, write_comparison

    root = project_root()
    page = write_comparison(root, compare) if compare else write_card(root)
    print(page.relative_to(root))
    _open(page)


def _open(page: Path) -> None:
    """Show the page, where that neither takes over the terminal nor waits for one."""
    graphical = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if graphical:
        import webbrowser

        webbrowser.open(page.as_uri())
