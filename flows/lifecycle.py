"""The flow: brings the stages of dvc.yaml up to date, one Prefect task run a stage."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Annotated, Any

from prefect import Task, flow
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed, Failed
from pydantic import Field

from flows._artifacts import publish, publish_comparison
from flows._display import Display, make_display
from flows._dvc import Outcome, Pipeline, Stage
from flows._experiments import compare, experiment
from flows._locks import RUN, only_one
from flows._parameters import require_good
from flows._progress import reported
from flows._remote import push_passed, remote_of
from flows._runner import Command, LocalRunner, Report, Runner
from flows._stopping import bury, on_signals, watch_for_cancelling
from flows.commands._project import recover
from lockstep.processes import die_with_parent
from tasks._stage import explain


# `async`, for a synchronous flow joins its heartbeat thread at the end, which sleeps in steps of a second.
@flow(name="lifecycle", persist_result=False)
async def lifecycle(
    stages: Sequence[str] = (),
    force: bool = False,
    jobs: Annotated[int, Field(ge=1)] = 1,
    overrides: Sequence[str] = (),
    name: str = "",
    allow_missing: bool = False,
) -> State[Any]:
    """Bring a project's pipeline up to date, or run it with other parameters as an experiment.

    Args:
        stages: Names of stages, whose upstream stages are then included; all of dvc.yaml when empty.
        force: Run them though nothing changed.
        jobs: How many independent stages may run side by side.
        overrides: Parameters for this run alone, such as train.learning_rate=0.001. The run becomes a DVC
            experiment, which leaves the workspace as it is and does not deploy; `lockstep apply` brings it in.
        name: Name of the experiment; one is made up when empty.
        allow_missing: Data that is not here, but was recorded, is no reason to run.
    """  # Not numpydoc: Prefect takes the texts of its form from here, and reads this style alone.
    # A worker may start the flow without the virtual environment in PATH, and stages begin with `python`.
    here, path = str(Path(sys.executable).parent), os.environ.get("PATH", "")
    if path.split(os.pathsep)[0] != here:
        os.environ["PATH"] = os.pathsep.join([here, path])
    if "PREFECT__FLOW_RUN_ID" in os.environ:
        # A worker started this process, and nobody could stop it any more once the worker was killed.
        die_with_parent()
    try:
        return await _until_stopped(
            _one_at_a_time(Path.cwd(), stages, force, jobs, overrides, name, allow_missing)
        )
    except Exception as error:
        return Failed(message=explain(error))


# They are JSON as they stand, and Prefect would import FastAPI to find that out.
lifecycle.serialize_parameters = dict  # type: ignore[method-assign, assignment]


async def _one_at_a_time(
    root: Path,
    stages: Sequence[str],
    force: bool,
    jobs: int,
    overrides: Sequence[str],
    name: str,
    allow_missing: bool,
) -> State[Any]:
    recover(root)
    with only_one(root / RUN, f"Another run ({{owner}}) works in {root}. Wait for it, or stop it.") as lock:
        # A retry has the id of the run that was killed.
        if lock.left not in ("", flow_run.id):
            await bury(lock.left)
        lock.leave(flow_run.id)
        if overrides:
            return await _experiment(root, stages, force, jobs, overrides, name, allow_missing)
        if name:
            return Failed(message="A name is for an experiment: set a parameter too, such as train.epochs=5.")
        # Some stages alone come to no verdict.
        push = not stages
        return (await _bring_up_to_date(root, stages, force, jobs, allow_missing, push=push))[0]


async def _bring_up_to_date(
    root: Path, stages: Sequence[str], force: bool, jobs: int, allow_missing: bool, *, push: bool = False
) -> tuple[State[Any], list[str]]:
    """State of the run, and the stages that ran or were restored."""
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


async def _experiment(
    root: Path,
    stages: Sequence[str],
    force: bool,
    jobs: int,
    overrides: Sequence[str],
    name: str,
    allow_missing: bool,
) -> State[Any]:
    with experiment(root, stages, overrides, name) as made:
        state, changed = await _bring_up_to_date(made.tree.root, made.stages, force, jobs, allow_missing)
        if not state.is_completed():
            return state
        made.save(changed)
    await publish_comparison(made.name, compare(root, made.name))
    return Completed(
        message=f"Experiment {made.name}: {state.message} `lockstep apply {made.name}` brings it into the workspace."
    )


async def _until_stopped(run: Coroutine[Any, Any, State[Any]]) -> State[Any]:
    """Await `run`, from its planning on; stopped, it ends as cancelled and never as crashed."""
    going = asyncio.ensure_future(run)

    def stop() -> None:
        # Once: a worker sends a signal, too, for what the watch sees, and would interrupt the stopping itself.
        if not going.cancelling():
            going.cancel()

    watch = asyncio.ensure_future(watch_for_cancelling(flow_run.id, stop))
    try:
        with on_signals(stop):
            return await going
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current and current.cancelling():
            raise
        return Cancelled(message="Stopped. What had ended is recorded; the next run goes on from there.")
    finally:
        watch.cancel()
        await asyncio.wait([watch])


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
        except asyncio.CancelledError:
            for run in running:
                run.cancel()
            if running:
                await asyncio.wait(running)
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
