"""`lockstep up`: keep a Prefect server for the project, and run its pipeline nightly."""

from __future__ import annotations

import asyncio
import errno
import importlib
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from flows import _server
from flows._children import SUPERVISE, ending
from flows._locks import UP, only_one
from flows.commands._project import check_python, project_root
from lockstep.errors import LockstepError, UsageError

_LOG = Path(".lockstep/prefect-server.log")
_START_SECONDS = 120.0
_STOP_SECONDS = 5.0
_QUERY_SECONDS = 2
# What listens on every address, and the one of them that stays on this machine.
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


def up(
    port: Annotated[int, typer.Option(help="Port on this machine; another one where it is taken.")] = 4200,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; another than loopback needs PREFECT_SERVER_API_AUTH_STRING."
        ),
    ] = "127.0.0.1",
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
            _server.check_credentials(address)
            os.environ["PREFECT_API_URL"] = address
            _serve(root, address, schedule)
            return
        _check_host(host)
        with _kept_server(root, host, port) as (address, process):
            _serve(root, address, schedule, process)


@contextmanager
def _kept_server(root: Path, host: str, port: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    port = _listening_port(host, port)
    near = _ANY.get(host, host)
    address = f"http://[{near}]:{port}/api" if ":" in near else f"http://{near}:{port}/api"
    server = ("-m", "prefect", "server", "start", "--host", host, "--port", str(port))
    os.environ["PREFECT_API_URL"] = address
    environment = os.environ | {"PREFECT_SERVER_LOGGING_LEVEL": "WARNING"}
    if host in _ANY:
        # A browser elsewhere reaches the API where it found the UI, and not on its own loopback.
        environment.setdefault("PREFECT_SERVER_UI_API_URL", "/api")
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
        yield address, process
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


def _serve(root: Path, address: str, schedule: str, server: subprocess.Popen[bytes] | None = None) -> None:
    from prefect.runner import Runner
    from prefect.types.entrypoint import EntrypointType

    from flows._stopping import bury_left
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
        await bury_left(root)
        runner = Runner("lockstep", query_seconds=_QUERY_SECONDS)
        await runner.aadd_deployment(deployment)
        print(f"Prefect UI: {_ui(address)}")
        print(
            f"The pipeline runs at {schedule!r} (UTC), and from the UI: Deployments, lifecycle/nightly, Run."
        )
        print("Ctrl-C ends both.", flush=True)
        await _until_ended(runner.start(), server)

    with suppress(KeyboardInterrupt):
        asyncio.run(serve())


async def _until_ended(worker: Coroutine[Any, Any, None], server: subprocess.Popen[bytes] | None) -> None:
    """Await the worker; a server that ends takes it along, for a schedule without one would fire unseen."""
    working = asyncio.ensure_future(worker)
    try:
        while not working.done():
            await asyncio.wait([working], timeout=1.0)
            if server is not None and (code := server.poll()) is not None:
                raise LockstepError(
                    f"The Prefect server {ending(code)}; see {_LOG}. What had ended is recorded. Start `lockstep up` "
                    "again."
                )
    finally:
        working.cancel()
        await asyncio.wait([working], timeout=_STOP_SECONDS)
    await working


def _ui(address: str) -> str:
    return address.removesuffix("/api")


def _check_host(host: str) -> None:
    """Refuse to show the pipeline to other machines without a password: whoever reaches the API can run it."""
    if os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        return
    try:
        near = all(
            ipaddress.ip_address(str(found[4][0])).is_loopback for found in socket.getaddrinfo(host, None)
        )
    except OSError:
        near = False
    if not near:
        raise UsageError(
            f"--host {host} is reached from other machines, and whoever reaches the server can start, stop and "
            "read runs. Set PREFECT_SERVER_API_AUTH_STRING to 'user:password' first, or leave --host out."
        )


def _listening_port(host: str, port: int) -> int:
    """`port`, or a free one where it is taken."""
    try:
        family, kind, _, _, (address, *_) = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        for number in (port, 0):
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((address, number))
                except OSError as error:
                    if number and error.errno == errno.EADDRINUSE:
                        continue
                    raise
                return int(probe.getsockname()[1])
    except OSError as error:
        raise UsageError(f"Cannot listen on {host}: {error.strerror}. Choose another --host.") from None
    return port
