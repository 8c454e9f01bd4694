"""Processes that end with whatever started them: a supervised one, and one that runs stage after stage."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from flows._command import StageCall
from lockstep.errors import StageFailed
from lockstep.progress import Progress

Report = Callable[[Progress], None]
Output = Callable[[str], None]

GRACE_SECONDS = 3.0
SUPERVISE = Path(__file__).with_name("_supervise.py")
_STAGE_PROCESS = Path(__file__).with_name("_stage_process.py")


class Child:
    """A supervised process at the head of its own group."""

    def __init__(self, process: asyncio.subprocess.Process, output: Output | None) -> None:
        self._process = process
        self._printing = asyncio.create_task(self._print(output)) if output else None

    @classmethod
    async def start(
        cls,
        program: Sequence[str],
        wdir: str,
        env: Mapping[str, str],
        output: Output | None,
        pass_fds: Sequence[int] = (),
    ) -> Child:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(SUPERVISE), str(os.getpid()), *program),
            cwd=wdir,
            env=env,
            start_new_session=True,
            pass_fds=pass_fds,
            stdout=asyncio.subprocess.PIPE if output else None,
            stderr=asyncio.subprocess.STDOUT if output else None,
        )
        return cls(process, output)

    async def _print(self, output: Output | None) -> None:
        stream, rest = self._process.stdout, b""
        while output and stream and (chunk := await stream.read(1 << 16)):
            lines, newline, rest = (rest + chunk).rpartition(b"\n")
            if newline:
                output((lines + newline).decode(errors="replace"))
        if output and rest:
            output(rest.decode(errors="replace"))

    async def wait(self) -> int:
        """Exit code, negative for a signal; a cancelled wait ends the group first."""
        try:
            code = await self._process.wait()
        except asyncio.CancelledError:
            await self.end()
            raise
        await self._printed()
        return code

    async def ended(self) -> None:
        """Wait for its end, however it comes."""
        await self._process.wait()

    async def _printed(self) -> None:
        # What a command leaves in the background may keep its output open, and must not keep the stage.
        if self._printing:
            await asyncio.wait([self._printing], timeout=0.5)
            self._printing.cancel()

    async def end(self, *, interrupt: bool = True) -> None:
        """Have the group end, by an interrupt unless it ends of itself; kill what is left after a while."""
        if interrupt:
            self._signal(signal.SIGINT)
        try:
            with suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._process.wait()), GRACE_SECONDS)
        finally:
            self._signal(signal.SIGKILL)
        await self._process.wait()
        await self._printed()

    def _signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)


class StageProcess:
    """The flow's end of a stage process; see `_stage_process`.

    Attributes
    ----------
    kept_for
        The heavy libraries that it imports ahead, until a stage that needs them takes it.
    """

    def __init__(self, child: Child, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.kept_for: tuple[str, ...] = ()
        self._child = child
        self._reader = reader
        self._writer = writer
        self._ending = asyncio.create_task(self._watch())

    @classmethod
    async def start(
        cls, root: str, env: Mapping[str, str], output: Output | None, ahead: StageCall | None = None
    ) -> StageProcess:
        # Not multiprocessing: its child imports the parent's __main__ again, and a worker's is Prefect.
        ours, theirs = socket.socketpair()
        with theirs:
            program = (sys.executable, str(_STAGE_PROCESS), str(theirs.fileno()))
            child = await Child.start(program, root, env, output, pass_fds=(theirs.fileno(),))
        reader, writer = await asyncio.open_connection(sock=ours)
        process = cls(child, reader, writer)
        process._send({"root": root, "path": sys.path})
        if ahead:
            process.kept_for = ahead.heavy
            process._send({"ahead": [ahead.module, *ahead.heavy]})
        return process

    async def _watch(self) -> None:
        # What it forked may hold the other end open; without it there is no answer any more.
        await self._child.ended()
        self._reader.feed_eof()

    def _send(self, message: Mapping[str, object]) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")

    async def call(self, call: StageCall, env: Mapping[str, str], report: Report) -> bool:
        """Run a stage; False if this process has outdated code, so that another must do it."""
        self._send({"module": call.module, "argv": call.argv, "env": env})
        failure: str | None = None
        try:
            while failure is None and (line := await self._receive()):
                event = json.loads(line)
                if "progress" in event:
                    report(Progress(*event["progress"]))
                elif "failed" in event:
                    failure = event["failed"]
                else:
                    return "done" in event
            if failure is None:
                failure = f"Its process {ending(await self._child.wait())}."
            else:
                await self.close()
        except (asyncio.CancelledError, Exception):
            # Stopped, or whoever watches failed: nobody would end it any more.
            await self._child.end()
            self._writer.close()
            raise
        self._writer.close()
        raise StageFailed(failure)

    async def _receive(self) -> bytes:
        with suppress(ConnectionResetError):
            return await self._reader.readline()
        return b""

    async def close(self) -> None:
        """End an idle process: it ends of itself when nobody can send it requests any more."""
        self._writer.close()
        # In the midst of an import it would not notice.
        await self._child.end(interrupt=bool(self.kept_for))


def ending(code: int) -> str:
    """How a process ended, as the end of a sentence; negative codes are signals."""
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    hint = " (as the kernel does when memory runs out)" if -code == signal.SIGKILL else ""
    return f"was ended by {name}{hint}"
