"""One trial of a search, in a process of its own: `train` with other parameters, as a DVC experiment.

Of its own, for DVC works in the working directory, and a process has only one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from flows._command import Command
from flows._dvc import Outcome, Pipeline
from flows._experiments import experiment
from flows._runner import LocalRunner
from lockstep import progress
from lockstep.errors import LockstepError
from tasks._stage import read_report

STAGE = "train"
REPORT = Path("reports/train.json")
FIGURE = "best_val_average_precision"
"""What trials are judged by: a figure on the validation rows, for test rows are for the verdict alone."""

WORK = "trials"
"""Name of the work that a trial is one unit of: its progress tells the figure."""


def main(argv: Sequence[str]) -> None:
    """Run a trial: `argv` has the place of its working tree, the experiment's name, and ``KEY=VALUE`` each."""
    place, name, *overrides = argv
    figure = asyncio.run(_train(Path.cwd(), Path(place), name, overrides))
    progress.forward(progress.Progress(WORK, 1, 1, figure=figure))


async def _train(root: Path, place: Path, name: str, overrides: Sequence[str]) -> float:
    with experiment(root, [STAGE], overrides, name, place) as made:
        changed = await _bring_up_to_date(made.tree.root, made.stages)
        figure = read_report(REPORT).get(FIGURE)
        if not isinstance(figure, float):
            raise LockstepError(f"{REPORT} has no {FIGURE}, so the stage {STAGE} cannot be searched over.")
        # The workspace's own values change nothing, and are to be compared all the same.
        made.save(changed or [STAGE])
    return figure


async def _bring_up_to_date(root: Path, stages: Sequence[str]) -> list[str]:
    """Names of the stages that ran or were restored."""
    pipeline, runner, changed = Pipeline(root, stages), LocalRunner(), []
    try:
        for stage in pipeline.plan:

            async def execute(command: Command) -> None:
                await runner.run(command, progress.forward)

            if await pipeline.reproduce(stage.name, execute) is not Outcome.UNCHANGED:
                changed.append(stage.name)
    finally:
        await runner.close()
        pipeline.close()
    return changed
