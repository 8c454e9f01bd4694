"""The only caller of DVC: the order of the stages, what changed, the run cache, and the record in dvc.lock.

A stage is reproduced by DVC's own function, so that dvc.lock, the cache and the run cache are what
`dvc repro` makes of them.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import shlex
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dvc.stage.run
from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.repo import Repo
from dvc.repo.reproduce import _reproduce_stage, collect_stages, get_active_graph, plan_repro
from dvc.utils.serialize import YAMLFileCorruptedError
from networkx import descendants
from scmrepo.exceptions import SCMError

from flows._changes import reasons_of
from flows._hooks import Call, Execute, command_of, here, patiently
from lockstep.errors import LockstepError, UsageError

if TYPE_CHECKING:
    from flows._command import Command

for _name in ("dvc", "dvc_objects", "dvc_data"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class Outcome(Enum):
    """What became of a stage."""

    UNCHANGED = "unchanged"
    RESTORED = "restored from the run cache"
    RAN = "ran"


@dataclass(frozen=True)
class Stage:
    """One stage of the plan.

    Attributes
    ----------
    name
        As DVC addresses it, e.g. ``train`` or ``train@large``.
    upstream
        Names of the stages whose outputs it reads.
    remote
        Whether it only fetches something from elsewhere (``dvc import``).
    """

    name: str
    upstream: tuple[str, ...]
    remote: bool


class Pipeline:
    """The graph of one DVC repository.

    Parameters
    ----------
    root
        Directory of dvc.yaml; the working directory.
    targets
        Names of stages, whose upstream stages are then included; all of dvc.yaml when empty.
    jobs
        How many stages may be reproduced at a time.
    allow_missing
        Data that is not here, but was recorded, is no reason to run, as in `dvc repro --allow-missing`.

    Raises
    ------
    LockstepError
        There is no DVC repository, or dvc.yaml cannot be used.
    """

    def __init__(
        self, root: Path, targets: Sequence[str] = (), jobs: int = 1, *, allow_missing: bool = False
    ) -> None:
        if not (root / "dvc.yaml").is_file():
            raise UsageError(f"{root} has no dvc.yaml. Go to the directory of your project.")
        with dvc_errors():
            try:
                self._repo = Repo(str(root))
            except NotDvcRepoError:
                raise UsageError(f"{root} is no DVC repository. Run `dvc init` there.") from None
            self._graph = get_active_graph(self._repo.index.graph)
            wanted = collect_stages(self._repo, targets) if targets else self._of_file(root / "dvc.yaml")
            plan = plan_repro(self._graph, wanted)
        self._repo.lock.lock = patiently(self._repo.lock.lock)
        self._allow_missing = allow_missing
        self._stages = {stage.addressing: stage for stage in plan}
        self._mutex = threading.Lock()
        self._threads = ThreadPoolExecutor(jobs, thread_name_prefix="dvc")

    def _of_file(self, path: Path) -> list[Any]:
        # To collect them by the file's name would parse it a second time.
        return [stage for stage in self._repo.index.stages if stage.path == str(path)]

    def close(self) -> None:
        """Give back what the repository holds open."""
        self._threads.shutdown()
        self._repo.close()

    @property
    def plan(self) -> list[Stage]:
        """The stages in the order of `dvc repro`."""
        return [
            Stage(name, tuple(up.addressing for up in self._graph.successors(stage)), stage.is_import)
            for name, stage in self._stages.items()
        ]

    def changes(self) -> Iterator[tuple[str, list[str]]]:
        """Yield each stage with why it would run on its own account; it takes no lock.

        Notes
        -----
        What is downstream of a stage that would run may have no reason yet.
        """
        with dvc_errors():
            for name, stage in self._stages.items():
                yield name, list(self._reasons(stage))

    def outdated(self) -> Iterator[tuple[str, list[str], list[str]]]:
        """Yield each stage that may run, why on its own account, and which of its upstream stages may run."""
        found: set[str] = set()
        for name, reasons in self.changes():
            after = [up.addressing for up in self._graph.successors(self._stages[name])]
            after = [up for up in after if up in found]
            if reasons or after:
                found.add(name)
                yield name, reasons, after

    def _reasons(self, stage: Any) -> Iterator[str]:
        if not self._allow_missing:
            return reasons_of(stage)
        return reasons_of(stage, [out for up in self._graph.successors(stage) for out in up.outs])

    def size(self, name: str) -> int | None:
        """Bytes of a stage's outputs as recorded; None where one is not."""
        sizes = [out.meta.size for out in self._stages[name].outs]
        return None if None in sizes else sum(sizes)

    def upcoming(self, *, force: bool = False) -> list[Command]:
        """Commands of the stages that may run; with `force`, of all."""
        running = {name for name, _, _ in self.outdated()} if not force else set(self._stages)
        with dvc_errors():
            return [
                command_of(stage) for name, stage in self._stages.items() if name in running and stage.cmd
            ]

    def readers(self) -> dict[str, tuple[list[str], set[str]]]:
        """Commands of each stage, and the keys of params.yaml that it declares."""
        with dvc_errors():
            return {
                name: (
                    dvc.stage.run._enforce_cmd_list(stage.cmd or []),
                    {
                        key
                        for dependency in stage.params
                        if Path(dependency.fs_path) == Path(self._repo.root_dir, "params.yaml")
                        for key in dependency.params
                    },
                )
                for name, stage in self._stages.items()
            }

    def argument(self, name: str, option: str) -> str | None:
        """What a stage's command says for an option such as ``--train``; None where it has none."""
        words = shlex.split(" ".join(dvc.stage.run._enforce_cmd_list(self._stages[name].cmd or [])))
        return words[words.index(option) + 1] if option in words[:-1] else None

    def makers(self, path: str) -> set[str]:
        """Names of the stage that makes `path`, relative to dvc.yaml, and of those upstream of it."""
        made = Path(self._repo.root_dir, path)
        found = {
            stage for stage in self._stages.values() if any(Path(out.fs_path) == made for out in stage.outs)
        }
        return {stage.addressing for one in found for stage in (one, *descendants(self._graph, one))}

    def sources(self) -> dict[str, str]:
        """Hash of each file or directory that a stage reads and none makes, by its path."""
        made = {out.fs_path for stage in self._stages.values() for out in stage.outs}
        with dvc_errors():
            return {
                str(dependency): str(dependency.get_hash().value)
                for stage in self._stages.values()
                for dependency in stage.deps
                if dependency not in stage.params and dependency.fs_path not in made
            }

    async def reproduce(self, name: str, execute: Execute, *, force: bool = False) -> Outcome:
        """Bring one stage up to date and record it, as `dvc repro` would.

        Parameters
        ----------
        name
            Name of a stage of the plan, whose upstream stages are up to date.
        execute
            Awaited on this event loop to run the stage's command.
        force
            Run it though nothing changed, and without the run cache.

        Raises
        ------
        StageFailed
            The command failed, or a dependency changed while it ran. Nothing is recorded.
        LockstepError
            DVC could not do its part.
        """
        loop = asyncio.get_running_loop()
        call = Call(loop, execute)
        work = loop.run_in_executor(self._threads, self._reproduce, self._stages[name], call, force)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            call.stop()
            # DVC gives its locks back before the flow goes on.
            await asyncio.wait([work])
            if not work.cancelled():
                work.exception()
            raise

    def _reproduce(self, stage: Any, call: Call, force: bool) -> Outcome:
        call.mutex = self._mutex
        here.call, here.stage = call, stage.addressing
        try:
            with dvc_errors(), self._mutex:
                # DVC asks the same, but writes its lock file 16 times to do so.
                if not force and next(self._reasons(stage), None) is None:
                    return Outcome.UNCHANGED
                with self._repo.lock, self._repo.scm_context():
                    self._repo._reset()
                    upstream = list(self._graph.successors(stage))
                    done = _reproduce_stage(
                        stage, upstream=upstream, force=force, allow_missing=self._allow_missing
                    )
        finally:
            here.call = here.stage = None
            stage.__dict__.pop("save_deps", None)
        if done is None:
            return Outcome.UNCHANGED
        return Outcome.RAN if call.ran or not stage.cmd or stage.frozen else Outcome.RESTORED


@contextmanager
def dvc_errors() -> Iterator[None]:
    """Raise what DVC raises as an error of Lockstep, with a remedy where DVC names none."""
    try:
        yield
    except FileNotFoundError as error:
        raise LockstepError(
            f"{error.filename} is missing. Bring it, or run the stage that makes it; `lockstep keys new` makes "
            "lockstep.key-id."
        ) from error
    except YAMLFileCorruptedError as error:
        mark = next((e.problem_mark for e in _below(error) if getattr(e, "problem_mark", None)), None)
        line = f", line {mark.line + 1}" if mark else ""
        raise UsageError(f"{error.path} is no YAML{line}. Correct it.") from error
    except DvcException as error:
        _raise_full_disk(error)
        # DVC's own command line prints the place in dvc.yaml beside the message.
        detail = " ".join(str(getattr(error, "exc", "")).split())
        raise LockstepError(f"{error}: {detail}" if detail else str(error)) from error
    except SCMError as error:
        raise LockstepError(
            f"Git failed: {' '.join(str(error).split())}. Where it does not know who you are: "
            "`git config user.name NAME` and `git config user.email ADDRESS`."
        ) from error


def _raise_full_disk(error: BaseException) -> None:
    """Raise what the system said, where DVC's words tell of kinds of links and not of a disk that is full."""
    for below in _below(error):
        if isinstance(below, OSError) and below.errno == errno.ENOSPC:
            raise below


def _below(error: BaseException) -> Iterator[Any]:
    """Yield `error` and what it came from."""
    below: BaseException | None = error
    while below:
        yield below
        below = below.__cause__ or below.__context__
