"""What may stop a run: a signal, somebody in Prefect's UI; and what a run that was killed left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.states import Crashed

from flows._locks import RUN, only_one
from lockstep.errors import LockstepError

POLL_SECONDS = 2.0


@contextmanager
def on_signals(stop: Callable[[], object]) -> Iterator[None]:
    """Have an interrupt, a termination or a hang-up call `stop`; the second one ends this process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    stopped = False

    def on_signal() -> None:
        nonlocal stopped
        if stopped:
            os._exit(130)
        stopped = True
        stop()

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    # Who ignores one, as nohup and a shell's background jobs do, means it.
    before = {number: signal.getsignal(number) for number in signals}
    before = {number: handler for number, handler in before.items() if handler is not signal.SIG_IGN}
    for number in before:
        loop.add_signal_handler(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)


async def watch_for_cancelling(run_id: str, stop: Callable[[], object]) -> None:
    """Call `stop` when the flow run is being cancelled.

    Notes
    -----
    Prefect itself ends only what one of its workers started; a run from the command line has to look.
    """
    await asyncio.sleep(POLL_SECONDS)
    async with get_client() as client:
        while True:
            # A server that is away for a moment is no reason to stop.
            with suppress(Exception):
                state = (await client.read_flow_run(UUID(run_id))).state
                if state and (state.is_cancelling() or state.is_cancelled()):
                    stop()
                    return
            await asyncio.sleep(POLL_SECONDS)


async def cancel_all(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel `tasks`, and wait until each has ended."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


async def bury(run_id: str) -> None:
    """Mark a flow run whose process was killed as crashed; nobody else would."""
    with suppress(Exception):
        async with get_client() as client:
            state = (await client.read_flow_run(UUID(run_id))).state
            # One that waits again is a retry that somebody asked for since.
            if state and (state.is_running() or state.is_cancelling()):
                await client.set_flow_run_state(
                    UUID(run_id), Crashed(message="Its process was killed."), force=True
                )


async def bury_left(root: Path) -> None:
    """Mark the run that was killed last in the project: until then it keeps the deployment's only slot."""
    with suppress(LockstepError), only_one(root / RUN, "{owner}") as lock:
        if lock.left:
            await bury(lock.left)
