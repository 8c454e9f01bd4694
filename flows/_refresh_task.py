"""The first task of a run whose source is elsewhere: a look whether it changed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows._refresh import DECLARATION, refresh
from tasks._stage import explain


async def refreshed(root: Path) -> State[Any] | None:
    """Take the source's fingerprint anew where it is no file; None unless that failed."""
    if not (root / DECLARATION).is_file():
        return None

    async def body() -> State[Any]:
        # A task run that raises has its traceback logged, which may quote a value.
        try:
            changed = await asyncio.to_thread(refresh, root)
        except Exception as error:
            return Failed(message=explain(error))
        return Completed(message="The source changed." if changed else "The source is unchanged.")

    run: Any = Task(
        body, name="refresh", task_run_name="refresh", persist_result=False, cache_policy=NO_CACHE
    )
    state: State[Any] = await run(return_state=True)
    return None if state.is_completed() else Failed(message=f"refresh failed: {state.message}")
