"""Running one of the project's flows from the command line, on whichever Prefect server there is."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows import _server
from lockstep.errors import LockstepError, StageFailed


class Interrupted(LockstepError):
    """The run was interrupted or cancelled."""

    exit_code = 130


def run_flow(root: Path, name: str, parameters: Mapping[str, Any]) -> None:
    """Run the flow `name` of the module of that name, and print how it ended.

    Raises
    ------
    Interrupted
        It was stopped.
    StageFailed
        It failed.
    LockstepError
        The server did not start, or went away.
    """
    where = _server.settle(root)
    if where:
        print(f"Prefect server: {where.removesuffix('/api')}")
    else:
        print(
            "No Prefect server: this run starts its own, which takes some seconds. `lockstep up` keeps one."
        )
    sys.stdout.flush()
    import httpx

    # Prefect reads its settings as it is imported.
    flow: Any = getattr(importlib.import_module(f"flows.{name}"), name)

    async def go() -> Any:
        return await flow(**parameters, return_state=True)

    try:
        if where is None:
            from flows import _own_server

            _own_server.start()
        state = asyncio.run(go())
    except httpx.TransportError:
        raise LockstepError(
            "The Prefect server cannot be reached any more, so it does not know how this run ended. "
            "What ended is recorded in dvc.lock; run again for the rest."
        ) from None
    except RuntimeError as error:
        # So Prefect says that its ephemeral server did not come up.
        if "Prefect API server" not in str(error):
            raise
        raise LockstepError(
            "Prefect's own server did not start. Start one with `lockstep up`, then run again."
        ) from None
    if state.is_cancelled():
        raise Interrupted(state.message or "Stopped.")
    if not state.is_completed():
        raise StageFailed(state.message or f"The flow run ended as {state.name}.")
    print(state.message)
