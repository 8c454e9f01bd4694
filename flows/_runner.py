"""Running a stage's command: in a stage process where it is one of Lockstep's own, else as a subprocess."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import shlex
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from lockstep.errors import StageFailed
from lockstep.progress import Progress

Report = Callable[[Progress], None]
Output = Callable[[str], None]

GRACE_SECONDS = 3.0
SUPERVISE = Path(__file__).with_name("_supervise.py")
_STAGE_PROCESS = Path(__file__).with_name("_stage_process.py")
# Anything else may mean something to a shell.
_PLAIN = re.compile(r"[\w \t./=:,@%+'\"-]+")
_MAIN = re.compile(r"^def main\(", re.MULTILINE)
_HEAVY = re.compile(r"^HEAVY = (\(.*\))$", re.MULTILINE)


class StageCall(NamedTuple):
    """A stage as a call of its `main`.

    Attributes
    ----------
    module, argv
        Of the stage.
    heavy
        What takes long to import of all that it needs: its module's ``HEAVY``.
    """

    module: str
    argv: list[str]
    heavy: tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """What one stage wants to be run.

    Attributes
    ----------
    stage
        Name of the stage.
    lines
        The commands as they stand in dvc.yaml, to be run one after the other.
    programs
        The same commands as DVC would start them.
    root, wdir
        Directory of the project, and the one to run in.
    env
        Whole environment.
    """

    stage: str
    lines: tuple[str, ...]
    programs: tuple[tuple[str, ...], ...]
    root: str
    wdir: str
    env: Mapping[str, str]

    def as_call(self) -> StageCall | None:
        """The call where the command is one plain ``python -m tasks.NAME ARGS`` in the root."""
        if len(self.lines) != 1 or self.wdir != self.root or not _PLAIN.fullmatch(self.lines[0]):
            return None
        try:
            words = shlex.split(self.lines[0])
        except ValueError:
            return None
        if (
            words[:2] != ["python", "-m"]
            or len(words) < 3
            or not re.fullmatch(r"tasks\.[A-Za-z]\w*", words[2])
        ):
            return None
        path = Path(self.root, *words[2].split(".")).with_suffix(".py")
        source = path.read_text("utf-8") if path.is_file() else ""
        if not _MAIN.search(source):
            return None
        heavy = _HEAVY.search(source)
        return StageCall(words[2], words[3:], ast.literal_eval(heavy[1]) if heavy else ())


class Runner(Protocol):
    """Where stages run. Another one may run them on another machine."""

    async def run(self, command: Command, report: Report) -> None:
        """Run `command` to its end.

        Parameters
        ----------
        command
            What to run.
        report
            Called with each step of the stage's progress.

        Raises
        ------
        StageFailed
            The command failed; the message may be stored.
        """
        ...

    async def close(self) -> None:
        """End what still lives."""
        ...


class LocalRunner:
    """Runs stages on this machine.

    Parameters
    ----------
    output
        Called with what a command prints; None lets it print to where this process prints.

    Notes
    -----
    To be used on the event loop of the main thread: a child's parent-death signal comes when the thread that
    started the child ends.
    """

    def __init__(self, output: Output | None = None) -> None:
        self._output = output
        self._idle: list[_StageProcess] = []

    async def run(self, command: Command, report: Report) -> None:
        """Run `command` to its end; cancelling ends it and whatever it started."""
        call = command.as_call()
        if call is None:
            for line, program in zip(command.lines, command.programs, strict=True):
                await self._run_program(line, program, command)
            return
        marks = {name: command.env[name] for name in ("DVC_STAGE", "DVC_ROOT")}
        await self.call(call, command.root, command.env, report, marks)

    async def call(
        self,
        call: StageCall,
        root: str,
        env: Mapping[str, str],
        report: Report,
        marks: Mapping[str, str],
    ) -> None:
        """Make a call in a stage process.

        Parameters
        ----------
        root
            Directory of the project, to run in.
        env
            Whole environment of a process that is started for it.
        marks
            What the environment of this call has beyond that.
        """
        process = self._take(call.heavy) or await _StageProcess.start(root, env, self._output)
        while not await process.call(call, marks, report):
            await process.close()
            process = await _StageProcess.start(root, env, self._output)
        self._idle.append(process)

    async def import_ahead(self, commands: Sequence[Command]) -> None:
        """Import beside the first of `commands` what a later one takes long to import, where a core is free for it.

        Parameters
        ----------
        commands
            Those that are likely to run, in their order.
        """
        if len(os.sched_getaffinity(0)) < 2:
            return
        calls = [(command, call) for command in commands if (call := command.as_call())]
        later = next(((command, call) for command, call in calls[1:] if call.heavy), None)
        if later and not calls[0][1].heavy:
            command, call = later
            self._idle.append(await _StageProcess.start(command.root, command.env, self._output, call))

    def _take(self, heavy: tuple[str, ...]) -> _StageProcess | None:
        """An idle process, rather the one that ran last; what was imported ahead is kept for whom it is for."""
        for kept_for in dict.fromkeys((heavy, ())):
            for process in reversed(self._idle):
                if process.kept_for == kept_for:
                    self._idle.remove(process)
                    process.kept_for = ()
                    return process
        return None

    async def _run_program(self, line: str, program: Sequence[str], command: Command) -> None:
        child = await _Child.start(program, command.wdir, command.env, self._output)
        code = await child.wait()
        if code:
            raise StageFailed(f"The command `{line}` {ending(code)}.")

    async def close(self) -> None:
        """End the idle stage processes."""
        await asyncio.gather(*(process.close() for process in self._idle))
        self._idle.clear()


class _Child:
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
    ) -> _Child:
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


class _StageProcess:
    """The flow's end of a stage process; see `_stage_process`.

    Attributes
    ----------
    kept_for
        The heavy libraries that it imports ahead, until a stage that needs them takes it.
    """

    def __init__(self, child: _Child, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.kept_for: tuple[str, ...] = ()
        self._child = child
        self._reader = reader
        self._writer = writer
        self._ending = asyncio.create_task(self._watch())

    @classmethod
    async def start(
        cls, root: str, env: Mapping[str, str], output: Output | None, ahead: StageCall | None = None
    ) -> _StageProcess:
        # Not multiprocessing: its child imports the parent's __main__ again, and a worker's is Prefect.
        ours, theirs = socket.socketpair()
        with theirs:
            program = (sys.executable, str(_STAGE_PROCESS), str(theirs.fileno()))
            child = await _Child.start(program, root, env, output, pass_fds=(theirs.fileno(),))
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
        try:
            while line := await self._receive():
                event = json.loads(line)
                if "progress" in event:
                    report(Progress(*event["progress"]))
                elif "failed" in event:
                    await self.close()
                    raise StageFailed(event["failed"])
                else:
                    return "done" in event
            code = await self._child.wait()
        except asyncio.CancelledError:
            await self._child.end()
            self._writer.close()
            raise
        self._writer.close()
        raise StageFailed(f"Its process {ending(code)}.")

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
