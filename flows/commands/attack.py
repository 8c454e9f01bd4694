"""`lockstep attack`: whom the model that ships was trained on, as the strongest attack known tells it."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.commands._flow import run_flow
from flows.commands._project import check_python, project_root, recover
from lockstep.errors import UsageError


def attack(
    networks: Annotated[int, typer.Option(min=2, help="Networks to train, an even number.")] = 8,
    jobs: Annotated[int, typer.Option(min=1, help="Networks to train side by side.")] = 1,
) -> None:
    """Attack the model that ships with LiRA: it trains networks of its own, each on half of the rows."""
    if networks % 2:
        raise UsageError(f"--networks is an even number: each two share out the rows. Received: {networks}.")
    root = project_root()
    check_python()
    recover(root)
    run_flow(root, "attack", {"networks": networks, "jobs": jobs})
