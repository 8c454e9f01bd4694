"""Running a stage's command: in a stage process where it is one of Lockstep's own, else as a subprocess."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from typing import Protocol

from flows._children import Child, Output, Report, StageProcess, ending
from flows._command import Command, StageCall
from lockstep.errors import StageFailed


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
        self._idle: list[StageProcess] = []

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
        process = self._take(call.heavy) or await StageProcess.start(root, env, self._output)
        while not await process.call(call, marks, report):
            await process.close()
            process = await StageProcess.start(root, env, self._output)
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
            self._idle.append(await StageProcess.start(command.root, command.env, self._output, call))

    def _take(self, heavy: tuple[str, ...]) -> StageProcess | None:
        """An idle process, rather the one that ran last; what was imported ahead is kept for whom it is for."""
        for kept_for in dict.fromkeys((heavy, ())):
            for process in reversed(self._idle):
                if process.kept_for == kept_for:
                    self._idle.remove(process)
                    process.kept_for = ()
                    return process
        return None

    async def _run_program(self, line: str, program: Sequence[str], command: Command) -> None:
        child = await Child.start(program, command.wdir, command.env, self._output)
        code = await child.wait()
        if code:
            raise StageFailed(f"The command `{line}` {ending(code)}.")

    async def close(self) -> None:
        """End the idle stage processes."""
        await asyncio.gather(*(process.close() for process in self._idle))
        self._idle.clear()
