"""After a passed run, what dvc.lock names goes to the DVC remote that params.yaml chose: the task run `push`.

The push itself is a process of its own (``python -m flows._remote NAME``): a stopped run can end it at any point,
which DVC's threads do not let anybody do.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from flows._children import SUPERVISE
from lockstep.errors import LockstepError, ParameterError, UsageError

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from flows._display import Display

_TASK = "push"
# A network or a store may fail by chance, and is there again in a moment.
_RETRIES = 2
_RETRY_SECONDS = 5
_MISCONFIGURED = "Misconfigured"


def remote_of(root: Path) -> str | None:
    """Name of the DVC remote to push to after a passed run; None: the project pushes by hand.

    Raises
    ------
    ParameterError
        ``remote`` of params.yaml is something else than a name.
    """
    try:
        params = yaml.safe_load((root / "params.yaml").read_text("utf-8"))
    except FileNotFoundError:
        return None
    name = params.get("remote") if isinstance(params, dict) else None
    if name is not None and not isinstance(name, str):
        raise ParameterError(
            f"remote: must be the name of a DVC remote, or null. Received: {name!r}. Correct it in params.yaml."
        )
    return name or None


async def push_passed(root: Path, name: str, display: Display, run: Awaitable[State[Any]]) -> State[Any]:
    """Await `run`; if it passed, push as a task run.

    Parameters
    ----------
    root
        Directory of the project.
    name
        Name of the DVC remote.
    display
        Shows that it happens.
    run
        All the stages of the project.

    Returns
    -------
    State
        That of `run`; a failed one where what it made could not be pushed. It stands here all the same.
    """
    from prefect import Task
    from prefect.cache_policies import NO_CACHE
    from prefect.states import Cancelled, Failed

    passed = await run
    if not passed.is_completed():
        return passed

    async def body() -> State[Any]:
        try:
            return await _push(root, name)
        except asyncio.CancelledError:
            # As for a stage: Prefect would log the traceback.
            if current := asyncio.current_task():
                current.uncancel()
            return Cancelled(message="It was stopped.")

    task: Any = Task(
        body,
        name=_TASK,
        task_run_name=_TASK,
        persist_result=False,
        cache_policy=NO_CACHE,
        retries=_RETRIES,
        retry_delay_seconds=_RETRY_SECONDS,
        retry_condition_fn=lambda _task, _run, state: state.name != _MISCONFIGURED,
    )
    display.start(_TASK)
    state: State[Any] = await task(return_state=True)
    if state.is_cancelled():
        display.end(_TASK, "stopped")
        raise asyncio.CancelledError
    if state.is_completed():
        display.end(_TASK, "unchanged" if state.name == "Cached" else "ran")
        return passed
    display.end(_TASK, "failed")
    return Failed(message=f"{passed.message} {state.message}")


async def _push(root: Path, name: str) -> State[Any]:
    from prefect.states import Completed, Failed

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(SUPERVISE), str(os.getpid())),
        *(sys.executable, "-m", "flows._remote", name),
        cwd=root,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        out, errors = await process.communicate()
    except asyncio.CancelledError:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
        raise
    if process.returncode == 0:
        message = out.decode().strip()
        return Completed(name="Completed" if message[0] != "0" else "Cached", message=message)
    last = (errors.decode(errors="replace").strip().splitlines() or ["it said nothing."])[-1]
    return Failed(
        name=_MISCONFIGURED if process.returncode == UsageError.exit_code else "Failed",
        message=f"What it made stands here, but the push to the DVC remote {name!r} failed: {last} "
        f"`dvc push -r {name}` tries again.",
    )


def push(root: Path, name: str) -> int:
    """Push what dvc.lock and the .dvc files of the working tree name, as `dvc push` does.

    Parameters
    ----------
    root
        Directory of a DVC repository.
    name
        Name of a DVC remote.

    Returns
    -------
    int
        How many files the remote did not have.

    Raises
    ------
    UsageError
        There is no such remote, or what speaks to its kind of store is not installed.
    LockstepError
        The store refused, or could not be reached.

    Notes
    -----
    DVC's run cache stays here. Its entries name outputs of parameters that nobody kept, which no commit leads
    to and `lockstep keys rotate` does not reseal.
    """
    from dvc.config import RemoteNotFoundError
    from dvc.exceptions import DvcException
    from dvc.fs import RemoteMissingDepsError
    from dvc.repo import Repo

    reasons = _Reasons()
    logging.getLogger("dvc").addHandler(reasons)
    logging.getLogger("dvc_data").addHandler(reasons)
    with Repo(str(root)) as repo:
        try:
            return int(repo.push(remote=name))
        except RemoteNotFoundError:
            raise UsageError(
                f"no remote of that name is configured. Add it with `dvc remote add {name} URL`, or correct "
                "`remote` in params.yaml."
            ) from None
        except RemoteMissingDepsError as error:
            raise UsageError(
                f"its client is not installed (for S3: `pip install 'lockstep[s3]'`). {error}"
            ) from None
        except DvcException as error:
            raise LockstepError(f"{error}. {reasons.first}".strip()) from None


class _Reasons(logging.Handler):
    """Keeps why the first file failed: DVC raises only how many did."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.first = ""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        self.first = self.first or f"{error or record.getMessage()}."


def main(name: str) -> int:
    """Push, and print how many files were pushed; an error is the last line of stderr."""
    try:
        pushed = push(Path.cwd(), name)
    except Exception as error:
        # It handles ciphertext by its hash: no text of its errors can quote a row.
        print(" ".join(f"{error}".split()) or type(error).__name__, file=sys.stderr)
        return error.exit_code if isinstance(error, LockstepError) else LockstepError.exit_code
    print(f"{pushed} files pushed.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
