"""`lockstep up`: keep a Prefect server for the project, and run its pipeline nightly."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from flows import _server
from flows._locks import UP, only_one
from flows._runner import SUPERVISE
from flows.commands._project import check_python, project_root
from lockstep.errors import LockstepError, UsageError

_LOG = Path(".lockstep/prefect-server.log")
_START_SECONDS = 120.0
_STOP_SECONDS = 5.0
_QUERY_SECONDS = 2


def up(
    port: Annotated[int, typer.Option(help="Port on this machine; another one where it is taken.")] = 4200,
    schedule: Annotated[
        str, typer.Option(help="When to run the pipeline, in cron's words; UTC.")
    ] = "0 2 * * *",
) -> None:
    """Keep a Prefect server with its UI, and run the pipeline nightly and from the UI, until Ctrl-C."""
    root = project_root()
    check_python()
    # While it starts, a second one has to read the address of the first.
    if address := _server.kept(root):
        print(f"`lockstep up` runs already: {_ui(address)}")
        return
    with only_one(root / UP, "`lockstep up` starts already ({owner})."):
        _server.quiet(root)
        address = _server.configured()
        if address and _server.answers(address):
            os.environ["PREFECT_API_URL"] = address
            _serve(root, address, schedule)
            return
        with _kept_server(root, port) as address:
            _serve(root, address, schedule)


@contextmanager
def _kept_server(root: Path, port: int) -> Iterator[str]:
    port = port if _is_free(port) else _free_port()
    address = f"http://127.0.0.1:{port}/api"
    server = ("-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
    os.environ["PREFECT_API_URL"] = address
    environment = os.environ | {"PREFECT_SERVER_LOGGING_LEVEL": "WARNING"}
    print(f"Starting a Prefect server on port {port} ...", flush=True)
    with (root / _LOG).open("wb") as log:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", str(SUPERVISE), str(os.getpid()), sys.executable, *server],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        # Prefect takes seconds to import, here as there.
        importlib.import_module("flows.lifecycle")
        _wait(process, address)
        _server.keep(root, address)
        yield address
    finally:
        _end(process)


def _wait(process: subprocess.Popen[bytes], address: str) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not _server.answers(address, seconds=1.0):
        if process.poll() is not None:
            raise LockstepError(f"The Prefect server ended at once; see {_LOG}.")
        if time.monotonic() > deadline:
            raise LockstepError(f"The Prefect server does not answer at {address}; see {_LOG}.")
        time.sleep(0.1)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _serve(root: Path, address: str, schedule: str) -> None:
    from prefect.runner import Runner
    from prefect.types.entrypoint import EntrypointType

    from flows.lifecycle import lifecycle

    async def serve() -> None:
        try:
            deployment = await lifecycle.ato_deployment(
                "nightly",
                cron=schedule,
                paused=False,
                concurrency_limit=1,
                entrypoint_type=EntrypointType.MODULE_PATH,
                description=f"The pipeline of {root.name}.",
            )
        except ValueError:
            raise UsageError(f"--schedule: {schedule!r} is no cron schedule, such as '0 2 * * *'.") from None
        runner = Runner("lockstep", query_seconds=_QUERY_SECONDS)
        await runner.aadd_deployment(deployment)
        print(f"Prefect UI: {_ui(address)}")
        print(
            f"The pipeline runs at {schedule!r} (UTC), and from the UI: Deployments, lifecycle/nightly, Run."
        )
        print("Ctrl-C ends both.", flush=True)
        await runner.start()

    with suppress(KeyboardInterrupt):
        asyncio.run(serve())


def _ui(address: str) -> str:
    return address.removesuffix("/api")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
