"""Serves the champion of a registry on uvicorn."""

from __future__ import annotations

import json
import shlex
import signal
import socket
from pathlib import Path

from lockstep.bundle.manifest import Manifest
from lockstep.bundle.registry import Registry
from lockstep.errors import UsageError
from lockstep.serving.app import App
from lockstep.serving.protocol import DATATYPES

_GRACE = 10
"""Seconds that a running request has to end after a request to stop."""


def serve(root: Path, name: str | None, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM; requests under way are answered first.

    Parameters
    ----------
    root
        The registry.
    name
        The model; None where the registry has one alone.
    host, port
        Where to listen; port 0 takes a free one.

    Raises
    ------
    RegistryError
        Nothing is deployed there, or the bundle is damaged.
    SealError
        The bundle cannot be opened with the keyring.
    UsageError
        The address cannot be listened on.
    """
    import uvicorn

    bundle = Registry.find(root, name).load_champion()
    listener = _listen(host, port)
    server = uvicorn.Server(
        uvicorn.Config(
            App(bundle),
            http="httptools",
            ws="none",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
        )
    )
    print(_greeting(bundle.manifest, listener), flush=True)
    # uvicorn raises the signal again when it has ended: a request to stop is no failure.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        print("Stopped.")


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            # From here on a client waits instead of being refused.
            listener.listen(2048)
        except BaseException:
            listener.close()
            raise
    except OSError as error:
        raise UsageError(
            f"Cannot listen on {host}:{port}: {error.strerror}. Choose others with --host and --port."
        ) from None
    return listener


def _greeting(manifest: Manifest, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    url = f"{address}/v2/models/{manifest.name}"
    body = json.dumps(
        {
            "inputs": [
                {"name": c.name, "shape": [1], "datatype": DATATYPES[c.kind], "data": [None]}
                for c in manifest.columns
            ]
        }
    )
    return (
        f"{manifest.name} version {manifest.version} is served at {url} "
        "(Open Inference Protocol; Ctrl-C stops it).\n"
        f"A request with every value missing:\n\n  curl {url}/infer -d {shlex.quote(body)}\n"
    )
