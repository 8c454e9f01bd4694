"""The process that runs the stages of one job, one after the other, as calls of their `main`.

A script of its own, so that it starts without Prefect and DVC. It reads requests and writes events, a JSON
object a line, on the socket whose descriptor is its argument.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

Send = Callable[[dict[str, Any]], None]


def serve(descriptor: int) -> None:
    """Answer requests until the flow closes its end."""
    started = time.time_ns()
    with socket.socket(fileno=descriptor) as channel, channel.makefile("rw", encoding="utf-8") as lines:

        def send(event: dict[str, Any]) -> None:
            lines.write(json.dumps(event) + "\n")
            lines.flush()

        setup = json.loads(lines.readline())
        root = setup["root"]
        # First the clone's own code, whatever project this Python has installed.
        sys.path[:] = [root, *(entry for entry in setup["path"] if entry not in ("", root))]
        environment = dict(os.environ)
        for line in lines:
            if _edited_since(started, root):
                send({"stale": True})
                continue
            request = json.loads(line)
            if "ahead" in request:
                _import(request["ahead"])
                continue
            os.environ.clear()
            os.environ.update(environment | request["env"])
            os.chdir(root)
            failure = _call(request["module"], request["argv"], send)
            send({"done": True} if failure is None else {"failed": failure})


def _import(modules: list[str]) -> None:
    # What cannot be imported the stage itself will name.
    with suppress(Exception), _unheard():
        for module in modules:
            importlib.import_module(module)


@contextmanager
def _unheard() -> Iterator[None]:
    """Drop what is written to descriptor 2: TensorFlow's notices about the CPU know no Python stream and no switch."""
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _edited_since(started: int, root: str) -> bool:
    """Whether a module that was loaded from `root` has changed: DVC would record code that did not run."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and file.startswith(root + os.sep):
            try:
                # The change time, for a copy may keep an old modification time.
                if Path(file).stat().st_ctime_ns > started:
                    return True
            except OSError:
                return True
    return False


def _call(module: str, argv: list[str], send: Send) -> str | None:
    """Run ``main(argv)`` of `module`; return None, or a message that may be stored."""
    from lockstep import progress

    sys.argv = [module, *argv]
    progress.set_sink(
        lambda step: send({"progress": [step.work, step.done, step.total, step.note, step.figure]})
    )
    try:
        if "keras" in sys.modules:
            sys.modules["keras"].utils.clear_session()
        importlib.import_module(module).main(argv)
    except SystemExit as stop:
        return (
            None
            if stop.code in (None, 0)
            else f"It ended with exit code {stop.code if isinstance(stop.code, int) else 1}."
        )
    except Exception as error:
        if os.environ.get("LOCKSTEP_SHOW_ERRORS") == "1":
            traceback.print_exc()
        return _explain(error)
    finally:
        progress.set_sink(None)
        sys.stdout.flush()
        sys.stderr.flush()
        gc.collect()
    return None


def _explain(error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"{error.name or 'A module'} cannot be imported: {type(error).__name__}. Is it installed?"
    from tasks._stage import explain

    return explain(error)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt, BrokenPipeError, ConnectionResetError):
        serve(int(sys.argv[1]))
