"""Calls that are no stages of the pipeline: one Prefect task run each, some of them side by side."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows._command import StageCall
from flows._display import Display
from flows._dvc import Pipeline
from flows._progress import reported
from flows._runner import LocalRunner
from flows._stopping import cancel_all
from lockstep.errors import UsageError
from lockstep.progress import Progress
from tasks._stage import explain

TRAINING_STAGES = ("resample", "train")
"""Stages of which what trains on other rows does the work anew."""

TRAINING_INPUTS = {
    "train": ("resample", "--train"),
    "validation": ("train", "--validation"),
    "key-id": ("train", "--key-id"),
}
"""What it then reads, as `inputs_of` takes it."""


def inputs_of(
    root: Path, stages: Sequence[str], inputs: Mapping[str, tuple[str, str]]
) -> tuple[list[str], list[str]]:
    """What a call reads that does the work of `stages` anew.

    Parameters
    ----------
    stages
        Lockstep's own stages of dvc.yaml.
    inputs
        By the call's option, the stage and its option that name the file in dvc.yaml.

    Returns
    -------
    before, arguments
        Names of the stages that have to be up to date, and the call's arguments.

    Raises
    ------
    UsageError
        dvc.yaml names one of the files nowhere.
    """
    pipeline = Pipeline(root, stages)
    try:
        before = [stage.name for stage in pipeline.plan if stage.name not in stages]
        arguments = []
        for name, (stage, option) in inputs.items():
            path = pipeline.argument(stage, option)
            if path is None:
                raise UsageError(f"The stage {stage} of dvc.yaml is not Lockstep's own: {option} is missing.")
            arguments += [f"--{name}", path]
        return before, arguments
    finally:
        pipeline.close()


class Calls:
    """Makes calls in stage processes.

    Parameters
    ----------
    root
        Directory of the project.
    display
        Shows each call.
    kind
        What each call is; its task run is named ``KIND NAME``.
    jobs
        How many may run side by side.
    outcome
        What a person reads of the call of this name once it ended.
    go_on
        Whether the others are still made once one has failed.
    """

    def __init__(
        self,
        root: Path,
        display: Display,
        kind: str,
        jobs: int,
        outcome: Callable[[str], str],
        *,
        go_on: bool = False,
    ) -> None:
        self._root = root
        self._display = display
        self._kind = kind
        self._turn = asyncio.Semaphore(jobs)
        self._outcome = outcome
        self._go_on = go_on
        self._runner = LocalRunner(display.output)
        self._failures: dict[str, str] = {}

    async def make(self, calls: Mapping[str, StageCall]) -> tuple[bool, dict[str, str]]:
        """Make each of `calls`, by name.

        Returns
        -------
        stopped, failures
            Whether one was stopped, and why those failed that did, by name.
        """
        runs = [asyncio.create_task(self._task_run(name, call)) for name, call in calls.items()]
        try:
            states = await asyncio.gather(*runs)
        except BaseException:
            await cancel_all(runs)
            raise
        finally:
            await self._runner.close()
        return any(state.is_cancelled() for state in states), self._failures

    async def _task_run(self, name: str, call: StageCall) -> State[Any]:
        async def body() -> State[Any]:
            return await self._make(name, call)

        run: Any = Task(
            body,
            name=self._kind,
            task_run_name=lambda: f"{self._kind} {name}",
            persist_result=False,
            cache_policy=NO_CACHE,
        )
        async with self._turn:
            if self._failures and not self._go_on:
                return Cancelled(message=f"An earlier {self._kind} failed.")
            state: State[Any] = await run(return_state=True)
        return state

    async def _make(self, name: str, call: StageCall) -> State[Any]:
        """The body of a task run: it returns its state, for Prefect logs the traceback of what is raised."""
        shown = f"{self._kind} {name}"
        self._display.start(shown)
        self._display.run(shown)
        async with reported(shown) as to_prefect:

            def report(step: Progress) -> None:
                self._display.step(shown, step)
                to_prefect(step)

            try:
                await self._runner.call(call, str(self._root), os.environ, report, {})
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if current:
                    current.uncancel()
                self._display.end(shown, "stopped")
                return Cancelled(message="It was stopped.")
            except Exception as error:
                self._display.end(shown, "failed")
                self._failures[name] = explain(error)
                return Failed(message=explain(error))
        what = self._outcome(name)
        self._display.end(shown, what)
        return Completed(message=what)
