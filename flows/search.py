"""The flow that searches for better parameters: one Prefect task run a trial, each trial a DVC experiment."""

from __future__ import annotations

import asyncio
import copy
import hashlib
import json
import os
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import yaml
from prefect import Task, flow
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed
from pydantic import Field

from flows import _search_report, _yaml
from flows._children import Report
from flows._command import StageCall
from flows._display import Display, make_display
from flows._dvc import Pipeline
from flows._experiments import forget
from flows._flow_run import alone
from flows._parameters import PARAMS
from flows._progress import reported
from flows._runner import LocalRunner
from flows._search_space import SearchParams, lookup, present, require_usable
from flows._stopping import cancel_all
from flows._study import PLACE, Study, Trial
from flows._trial import STAGE, WORK
from flows._walk import bring_up_to_date
from flows._worktree import clear, git, require_commit
from lockstep.progress import Progress
from tasks._params import load_params
from tasks._stage import explain

_TREES = "tree"
_ENOUGH_FAILURES = 3


# `async`, for a synchronous flow joins its heartbeat thread at the end, which sleeps in steps of a second.
@flow(name="search", persist_result=False)
async def search(jobs: Annotated[int, Field(ge=1)] = 1) -> State[Any]:
    """Search for parameters that train a better model, as section search of params.yaml says.

    Args:
        jobs: How many trials may run side by side.
    """  # Not numpydoc: Prefect takes the texts of its form from here, and reads this style alone.
    return await alone(Path.cwd(), partial(_search, Path.cwd(), jobs))


# They are JSON as they stand, and Prefect would import FastAPI to find that out.
search.serialize_parameters = dict  # type: ignore[method-assign, assignment]


async def _search(root: Path, jobs: int) -> State[Any]:
    require_commit(root)
    params = load_params(SearchParams, PARAMS)
    upstream = _judge(root, params)
    if upstream:
        # Once, and not in each of the trials that start side by side.
        state, _ = await bring_up_to_date(root, upstream, jobs=jobs)
        if not state.is_completed():
            return state
    for left in (root / PLACE).glob(f"{_TREES}-*"):
        clear(root, left.relative_to(root))
    study = Study(root, params, *_identity(root, params))
    try:
        with make_display(table=False) as display:
            state = await _Search(root, study, display, params.trials, jobs).go()
        await _search_report.publish(root, study, params.space)
        return state
    finally:
        study.close()


def _judge(root: Path, params: SearchParams) -> list[str]:
    """Refuse a space that cannot be searched; return the names of the stages before the one that trains."""
    pipeline = Pipeline(root, [STAGE])
    try:
        validation = pipeline.argument(STAGE, "--validation")
        judging = pipeline.makers(validation) if validation else set()
        require_usable(params, _yaml.load(root / PARAMS), pipeline.readers(), judging, root)
        return [stage.name for stage in pipeline.plan if stage.name != STAGE]
    finally:
        pipeline.close()


def _identity(root: Path, params: SearchParams) -> tuple[str, dict[str, Any] | None]:
    """Digest of what all trials have in common, and the searched parameters' present values, if in the space.

    Notes
    -----
    The last commit is part of it: `lockstep apply` takes experiments that start from there alone.
    """
    document = yaml.safe_load((root / PARAMS).read_text("utf-8"))
    common = copy.deepcopy(document)
    for name in params.space:
        *sections, last = name.split(".")
        section = lookup(common, ".".join(sections)) if sections else common
        if isinstance(section, dict):
            section.pop(last, None)
    pipeline = Pipeline(root, [STAGE])
    try:
        readers = pipeline.readers()
        shared = {
            "commit": git(root, "rev-parse", "HEAD").strip(),
            "seed": params.seed,
            "space": {name: domain.model_dump() for name, domain in params.space.items()},
            "commands": {name: commands for name, (commands, _) in readers.items()},
            "params": {key: lookup(common, key) for _, keys in readers.values() for key in sorted(keys)},
            "sources": pipeline.sources(),
        }
    finally:
        pipeline.close()
    digest = hashlib.sha256(json.dumps(shared, sort_keys=True, default=str).encode()).hexdigest()
    return digest, present(params.space, document)


class _Search:
    """Keeps `jobs` trials going until there were enough."""

    def __init__(self, root: Path, study: Study, display: Display, trials: int, jobs: int) -> None:
        self._root = root
        self._study = study
        self._display = display
        self._trials = trials
        self._runner = LocalRunner(display.output)
        self._slots = set(range(jobs))

    async def go(self) -> State[Any]:
        before = len(self._study.ended)
        if before:
            print(f"Going on with the search that has {before} of {self._trials} trials.", flush=True)
        running: set[asyncio.Task[State[Any]]] = set()
        failure = ""
        try:
            while running or (self._left(len(running)) and not failure):
                while self._slots and self._left(len(running)) and not failure:
                    running.add(asyncio.create_task(self._task_run(self._study.ask(), self._slots.pop())))
                ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                failure = failure or self._failure([run.result() for run in ended])
        except BaseException:
            # Whatever ends this: the next run must not begin beside them.
            await cancel_all(running)
            raise
        finally:
            await self._runner.close()
        return Failed(message=failure) if failure else self._completed(before)

    def _left(self, running: int) -> int:
        return self._trials - len(self._study.ended) - running

    def _failure(self, states: list[State[Any]]) -> str:
        """Why to go no further, if so: a task run that was stopped by itself, or nothing but failures."""
        for state in states:
            if state.is_cancelled():
                return "A trial was stopped. The next search starts it again."
            ended = self._study.ended
            if (
                state.is_failed()
                and not self._study.ranking
                and len(ended) >= min(_ENOUGH_FAILURES, self._trials)
            ):
                return f"No trial succeeded, the last one because: {state.message}"
        return ""

    def _completed(self, before: int) -> State[Any]:
        best = self._study.ranking
        if not best:
            return Failed(message=f"None of {len(self._study.ended)} trials trained to its end.")
        name = self._study.experiment(best[0].number)
        return Completed(
            message=f"{len(self._study.ended) - before} trials ran, {len(self._study.ended)} are known. The best "
            f"reaches an average precision of {best[0].value:.4f} on the validation rows. "
            f"`lockstep apply {name}` brings it into the workspace; then `lockstep run`."
        )

    async def _task_run(self, trial: Trial, slot: int) -> State[Any]:
        async def body() -> State[Any]:
            return await self._train(trial, slot)

        run: Any = Task(
            body,
            name="trial",
            task_run_name=lambda: f"trial {trial.number}",
            persist_result=False,
            cache_policy=NO_CACHE,
        )
        try:
            state: State[Any] = await run(return_state=True)
        finally:
            self._slots.add(slot)
        return state

    async def _train(self, trial: Trial, slot: int) -> State[Any]:
        """The body of a task run: it returns its state, for Prefect logs the traceback of what is raised."""
        name = f"trial {trial.number}"
        figure: float | None = None
        hopeless = 0

        def report(step: Progress) -> None:
            nonlocal figure, hopeless
            if step.work == WORK:
                figure = step.figure
                return
            self._display.step(name, step)
            to_prefect(step)
            # In its last epoch a trial is all but done.
            if step.figure is None or hopeless or step.done >= step.total:
                return
            if self._study.is_hopeless(trial, step.done, step.figure):
                hopeless = step.done
                going.cancel()

        self._display.start(name)
        self._display.run(name)
        async with reported(name) as to_prefect:
            going = asyncio.ensure_future(self._call(trial, slot, report))
            try:
                await going
            except asyncio.CancelledError:
                current = asyncio.current_task()
                if current and not hopeless:
                    current.uncancel()
                # It may have been done by the time that it was ended; the study does not count it.
                await asyncio.to_thread(forget, self._root, trial.experiment)
                if hopeless:
                    self._study.give_up(trial)
                    return self._ended(trial, f"given up after epoch {hopeless}", Completed, name="Pruned")
                return self._ended(trial, "stopped", Cancelled)
            except Exception as error:
                message = explain(error)
                self._study.fail(trial, message)
                return self._ended(trial, f"failed: {message}", Failed)
        assert figure is not None
        self._study.end(trial, figure)
        return self._ended(trial, f"average precision {figure:.4f}", Completed)

    def _call(self, trial: Trial, slot: int, report: Report) -> Coroutine[Any, Any, None]:
        argv = [str(PLACE / f"{_TREES}-{slot}"), trial.experiment, *trial.overrides]
        return self._runner.call(StageCall("flows._trial", argv, ()), str(self._root), os.environ, report, {})

    def _ended(self, trial: Trial, what: str, state: Callable[..., State[Any]], **options: Any) -> State[Any]:
        self._display.end(f"trial {trial.number}", f"{what}, with {', '.join(trial.overrides)}")
        return state(message=f"{what[0].upper()}{what[1:]}, with {', '.join(trial.overrides)}.", **options)
