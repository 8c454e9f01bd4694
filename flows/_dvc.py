"""The only caller of DVC: the order of the stages, what changed, the run cache, and the record in dvc.lock.

A stage is reproduced by DVC's own function, so that dvc.lock, the cache and the run cache are what
`dvc repro` makes of them. Three places of DVC are replaced, each by its name in DVC's modules:

- `dvc.stage.run.cmd_run` hands the command to the caller's `Execute` instead of running it;
- `dvc.rwlock.rwlock` tells stages of one process apart, which DVC takes for one owner;
- `dvc.dvcfile.modify_yaml` replaces dvc.lock in one step, where DVC truncates it before it writes.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dvc.dvcfile
import dvc.rwlock
import dvc.stage.run
from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.repo.reproduce import _reproduce_stage, collect_stages, get_active_graph, plan_repro
from dvc.utils.serialize import dumps_yaml
from dvc.utils.serialize._yaml import parse_yaml_for_update

from lockstep.errors import LockstepError, StageFailed, UsageError
from lockstep.files import write_atomic

if TYPE_CHECKING:
    from flows._runner import Command

Execute = Callable[["Command"], Awaitable[None]]

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
        with _dvc_errors():
            try:
                self._repo = Repo(str(root))
            except NotDvcRepoError:
                raise UsageError(f"{root} is no DVC repository. Run `dvc init` there.") from None
            self._graph = get_active_graph(self._repo.index.graph)
            wanted = collect_stages(self._repo, targets) if targets else self._of_file(root / "dvc.yaml")
            plan = plan_repro(self._graph, wanted)
        self._repo.lock.lock = _patiently(self._repo.lock.lock)
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
        with _dvc_errors():
            for name, stage in self._stages.items():
                yield name, list(self._reasons(stage))

    def _reasons(self, stage: Any) -> Iterator[str]:
        if not self._allow_missing:
            return _reasons(stage)
        return _reasons(stage, [out for up in self._graph.successors(stage) for out in up.outs])

    def size(self, name: str) -> int | None:
        """Bytes of a stage's outputs as recorded; None where one is not."""
        sizes = [out.meta.size for out in self._stages[name].outs]
        return None if None in sizes else sum(sizes)

    def readers(self) -> dict[str, tuple[list[str], set[str]]]:
        """Commands of each stage, and the keys of params.yaml that it declares."""
        with _dvc_errors():
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
        call = _Call(loop, execute)
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

    def _reproduce(self, stage: Any, call: _Call, force: bool) -> Outcome:
        call.mutex = self._mutex
        _here.call, _here.stage = call, stage.addressing
        try:
            with _dvc_errors(), self._mutex:
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
            _here.call = _here.stage = None
            stage.__dict__.pop("save_deps", None)
        if done is None:
            return Outcome.UNCHANGED
        return Outcome.RAN if call.ran or not stage.cmd or stage.frozen else Outcome.RESTORED


class _Call:
    """A stage in DVC's thread, whose command is awaited on the event loop."""

    mutex: threading.Lock

    def __init__(self, loop: asyncio.AbstractEventLoop, execute: Execute) -> None:
        self.ran = False
        self._loop = loop
        self._execute = execute
        self.stopped = False
        self._task: asyncio.Task[Any] | None = None

    def run(self, command: Command) -> None:
        """Run `command`, from DVC's thread; other stages may use DVC meanwhile."""
        self.mutex.release()
        try:
            asyncio.run_coroutine_threadsafe(self._await(command), self._loop).result()
        finally:
            self.mutex.acquire()
        self.ran = True

    async def _await(self, command: Command) -> None:
        if self.stopped:
            raise asyncio.CancelledError
        self._task = asyncio.current_task()
        await self._execute(command)

    def stop(self) -> None:
        """Cancel the command, from the event loop."""
        self.stopped = True
        if self._task:
            self._task.cancel()


class _Here(threading.local):
    call: _Call | None = None
    stage: str | None = None


_here = _Here()
_dvc_cmd_run = dvc.stage.run.cmd_run
_dvc_rwlock = dvc.rwlock.rwlock


def _patiently(lock: Callable[[], None]) -> Callable[[], None]:
    """Wait for other DVC commands: DVC gives up after seconds, but hours of training wait to be recorded."""

    def take() -> None:
        while True:
            try:
                return lock()
            except LockError:
                if _here.call is None or _here.call.stopped:
                    raise

    return take


def _cmd_run(stage: Any, dry: bool = False, run_env: dict[str, str] | None = None) -> None:
    call = _here.call
    if call is None or dry:
        _dvc_cmd_run(stage, dry=dry, run_env=run_env)
        return
    # With `force` DVC has not hashed them yet.
    stage.save_deps(allow_missing=True)
    before = [(dependency, dependency.hash_info) for dependency in stage.deps]

    def save_deps(allow_missing: bool = False) -> None:
        type(stage).save_deps(stage, allow_missing=allow_missing)
        changed = [str(dependency) for dependency, hash_info in before if dependency.hash_info != hash_info]
        if changed:
            raise StageFailed(
                f"{', '.join(changed)} changed while it ran, so nothing was recorded. Run it again."
            )

    call.run(_command(stage, run_env))
    # What DVC is about to record must be what the command read.
    stage.save_deps = save_deps


def _command(stage: Any, run_env: dict[str, str] | None) -> Command:
    from flows._runner import Command

    settings = dvc.stage.run.prepare_kwargs(stage, run_env=run_env)
    shell = dvc.stage.run.get_executable()
    lines = dvc.stage.run._enforce_cmd_list(stage.cmd)
    return Command(
        stage=stage.addressing,
        lines=tuple(lines),
        programs=tuple(tuple(dvc.stage.run._make_cmd(shell, line)) for line in lines),
        root=stage.repo.root_dir,
        wdir=settings["cwd"],
        env=settings["env"],
    )


def _rwlock(tmp_dir: str, fs: Any, cmd: str, *args: Any) -> Any:
    return _dvc_rwlock(tmp_dir, fs, f"{cmd} ({_here.stage})" if _here.stage else cmd, *args)


@contextmanager
def _modify_yaml(path: str, fs: Any = None) -> Iterator[Any]:
    file = Path(path).resolve()
    data = parse_yaml_for_update(file.read_text("utf-8"), path) if file.exists() else {}
    yield data
    write_atomic(file, dumps_yaml(data).encode())


dvc.stage.run.cmd_run = _cmd_run
dvc.rwlock.rwlock = _rwlock
dvc.dvcfile.modify_yaml = _modify_yaml


def _reasons(stage: Any, upstream: Sequence[Any] | None = None) -> Iterator[str]:
    """Why `stage` would run; missing data is no reason where the outputs `upstream` of it are given."""
    entries = [*([] if stage.frozen else stage.deps), *stage.outs]
    if stage.cmd and not any(entry.hash_info for entry in [*stage.deps, *stage.outs]):
        yield "has not run yet"
        return
    if stage.changed_stage():
        yield "its command changed"
    if not stage.frozen and (stage.is_callback or stage.always_changed):
        yield "always runs"
    for entry in entries:
        for path, state in entry.status().items():
            if upstream is not None and state in ("deleted", "not in cache"):
                if any(entry.fs_path == out.fs_path and entry.hash_info != out.hash_info for out in upstream):
                    yield f"{path} changed"
                continue
            if isinstance(state, dict):
                yield f"{path}: " + ", ".join(f"{key} {what}" for key, what in state.items())
            else:
                yield f"{path} {'changed' if state == 'modified' else state}"


@contextmanager
def _dvc_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise LockstepError(
            f"{error.filename} is missing. Bring it, or run the stage that makes it; `lockstep keys new` makes "
            "lockstep.key-id."
        ) from error
    except DvcException as error:
        # DVC's own command line prints the place in dvc.yaml beside the message.
        detail = " ".join(str(getattr(error, "exc", "")).split())
        raise LockstepError(f"{error}: {detail}" if detail else str(error)) from error
