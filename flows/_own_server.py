"""The Prefect server that a run starts for itself where there is no other.

Prefect starts it as a child in the run's own process group. There Ctrl-C would reach the server too, and the run could
not say any more how it ended; and a run that is killed would leave it behind. So one name of Prefect's module is
replaced: `subprocess`, whose `Popen` starts the server under the supervisor of the stages, in a session of its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from prefect.server.api import server

from flows._children import SUPERVISE


class _Supervised(subprocess.Popen[Any]):
    def __init__(self, args: list[str], **options: Any) -> None:
        supervised = [sys.executable, "-I", "-S", str(SUPERVISE), str(os.getpid()), *args]
        super().__init__(supervised, start_new_session=True, **options)

    def terminate(self) -> None:
        # As Ctrl-C does: the server writes what it still holds, and ends.
        self._send(signal.SIGINT)

    def kill(self) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def start() -> None:
    """Start it, from the main thread: the supervisor ends it with the thread that started it."""
    server.subprocess = SimpleNamespace(Popen=_Supervised, TimeoutExpired=subprocess.TimeoutExpired)  # type: ignore[assignment, attr-defined]
    server.SubprocessASGIServer().start()
