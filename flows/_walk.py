"""One pass over the stages of dvc.yaml: a Prefect task run each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows._artifacts import publish
from flows._children import Report
from flows._command import Command
from flows._display import Display, make_display
from flows._dvc import Outcome, Pipeline, Stage
from flows._parameters import require_good
from flows._progress import reported
from flows._remote import push_passed, remote_of
from flows._runner import LocalRunner, Runner
from flows._stopping import cancel_all
from tasks._stage import explain


async def bring_up_to_date(
    root: Path,
    stages: Sequence[str],
    *,
    force: bool = False,
    jobs: int = 1,
    allow_missing: bool = False,
    push: bool = False,
) -> tuple[State[Any], list[str]]:
    """Bring `stages` and what is upstream of them up to date, all where there are none.

    Parameters
    ----------
    root
        Directory of the project; the working directory.
    force
        Run them though nothing changed.
    jobs
        How many may run side by side.
    allow_missing
        Data that is not here, but was recorded, is no reason to run.
    push
        Push to the project's remote once all gates passed.

    Returns
    -------
    State, list of str
        Of the whole, and the stages that ran or were restored.

    Raises
    ------
    LockstepError
        A parameter or the pipeline cannot be used; no stage was started.
    """
    pipeline = Pipeline(root, stages, jobs, allow_missing=allow_missing)
    try:
        require_good(root, pipeline, force=force)
        remote = remote_of(root) if push else None
        with make_display() as display:
            runner = LocalRunner(display.output)
            if jobs == 1:
                await runner.import_ahead(pipeline.upcoming(force=force))
            walk = _Walk(pipeline, runner, display, force, jobs)
            run = push_passed(root, remote, display, walk.go()) if remote else walk.go()
            try:
                return await run, walk.changed
            finally:
                await runner.close()
    finally:
        pipeline.close()


class _Walk:
    """One pass over the stages.

    Attributes
    ----------
    changed
        Stages that ran or were restored.
    """

    def __init__(self, pipeline: Pipeline, runner: Runner, display: Display, force: bool, jobs: int) -> None:
        self._pipeline = pipeline
        self._runner = runner
        self._display = display
        self._force = force
        self._jobs = jobs
        self._states: dict[str, State[Any]] = {}
        self.changed: list[str] = []

    async def go(self) -> State[Any]:
        """Start each stage once its upstream is done, in DVC's order; after a failure start no more."""
        waiting = self._pipeline.plan
        running: dict[asyncio.Task[State[Any]], Stage] = {}
        failures: list[str] = []
        try:
            while running or (waiting and not failures):
                while not failures and len(running) < self._jobs and (stage := self._ready(waiting)):
                    waiting.remove(stage)
                    running[asyncio.create_task(self._task_run(stage))] = stage
                ended, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for run in ended:
                    stage, state = running.pop(run), run.result()
                    self._states[stage.name] = state
                    if not state.is_completed():
                        failures.append(f"stage {stage.name} failed: {state.message}")
        except BaseException:
            # Whatever ends this: the next run must not begin beside them.
            await cancel_all(running)
            raise
        return Failed(message=" ".join(failures)) if failures else Completed(message=self._summary())

    def _ready(self, waiting: list[Stage]) -> Stage | None:
        return next(
            (stage for stage in waiting if all(name in self._states for name in stage.upstream)), None
        )

    def _summary(self) -> str:
        ran = sum(state.name != "Cached" for state in self._states.values())
        return f"{ran} of {len(self._states)} stages ran."

    async def _task_run(self, stage: Stage) -> State[Any]:
        async def body() -> State[Any]:
            return await self._reproduce(stage)

        run: Any = Task(
            body,
            name=stage.name,
            task_run_name=lambda: stage.name,
            persist_result=False,
            cache_policy=NO_CACHE,
            # Only fetching can fail by chance; retrying a stage would hide what is wrong with it.
            retries=2 if stage.remote else 0,
            retry_delay_seconds=5,
        )
        upstream = [self._states[name] for name in stage.upstream]
        state: State[Any] = await run(return_state=True, wait_for=upstream)
        return state

    async def _reproduce(self, stage: Stage) -> State[Any]:
        """The body of a task run: it returns its state, for Prefect logs the traceback of what is raised."""
        self._display.start(stage.name)
        async with reported(stage.name) as to_prefect:

            def report(step: Any) -> None:
                self._display.step(stage.name, step)
                to_prefect(step)

            try:
                outcome = await self._pipeline.reproduce(
                    stage.name, self._executing(report), force=self._force
                )
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if current:
                    current.uncancel()
                self._display.end(stage.name, "stopped")
                return Cancelled(message="It was stopped.")
            except Exception as error:
                self._display.end(stage.name, "failed")
                return Failed(message=explain(error))
        self._display.end(stage.name, outcome.value, self._pipeline.size(stage.name))
        if outcome is not Outcome.UNCHANGED:
            self.changed.append(stage.name)
        if outcome is Outcome.RAN:
            await publish(stage.name)
            return Completed(message="It ran.")
        return Completed(name="Cached", message=outcome.value)

    def _executing(self, report: Report) -> Callable[[Command], Any]:
        async def execute(command: Command) -> None:
            self._display.run(command.stage)
            await self._runner.run(command, report)

        return execute
