"""What every flow of the project does around its work: one at a time, stoppable, and ending with a word."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Failed

from flows._locks import RUN, only_one
from flows._stopping import bury, on_signals, watch_for_cancelling
from flows.commands._project import recover
from lockstep.processes import die_with_parent
from tasks._stage import explain

Work = Callable[[], Coroutine[Any, Any, State[Any]]]


async def alone(root: Path, work: Work) -> State[Any]:
    """Await `work` within a flow run, as the only run in the project at `root`.

    Returns
    -------
    State
        That of `work`; Cancelled when it was stopped, Failed with a message that may be stored when it raised.
    """
    # A worker may start the flow without the virtual environment in PATH, and stages begin with `python`.
    here, path = str(Path(sys.executable).parent), os.environ.get("PATH", "")
    if path.split(os.pathsep)[0] != here:
        os.environ["PATH"] = os.pathsep.join([here, path])
    if "PREFECT__FLOW_RUN_ID" in os.environ:
        # A worker started this process, and nobody could stop it any more once the worker was killed.
        die_with_parent()
    try:
        return await _until_stopped(_one_at_a_time(root, work))
    except Exception as error:
        return Failed(message=explain(error))


async def _one_at_a_time(root: Path, work: Work) -> State[Any]:
    recover(root)
    with only_one(root / RUN, f"Another run ({{owner}}) works in {root}. Wait for it, or stop it.") as lock:
        # A retry has the id of the run that was killed.
        if lock.left not in ("", flow_run.id):
            await bury(lock.left)
        lock.leave(flow_run.id)
        return await work()


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
