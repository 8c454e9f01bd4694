"""Four places of DVC that are replaced, each by its name in DVC's modules.

- `dvc.stage.run.cmd_run` hands the command to the caller's `Execute` instead of running it;
- `dvc.rwlock.rwlock` tells stages of one process apart, which DVC takes for one owner;
- `dvc.dvcfile.modify_yaml` replaces dvc.lock in one step, where DVC truncates it before it writes;
- `dvc.dependency.param.load_path` parses the same params.yaml once, where DVC does so once a stage.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dvc.dependency.param
import dvc.dvcfile
import dvc.rwlock
import dvc.stage.run
from dvc.lock import LockError
from dvc.utils.serialize import dumps_yaml
from dvc.utils.serialize._yaml import parse_yaml, parse_yaml_for_update

from lockstep.errors import StageFailed
from lockstep.files import write_atomic

if TYPE_CHECKING:
    from flows._command import Command

Execute = Callable[["Command"], Awaitable[None]]


class Call:
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
    call: Call | None = None
    stage: str | None = None


here = _Here()
_dvc_cmd_run = dvc.stage.run.cmd_run
_dvc_rwlock = dvc.rwlock.rwlock
_dvc_load_path = dvc.dependency.param.load_path


def patiently(lock: Callable[[], None]) -> Callable[[], None]:
    """Wait for other DVC commands: DVC gives up after seconds, but hours of training wait to be recorded."""

    def take() -> None:
        while True:
            try:
                return lock()
            except LockError:
                if here.call is None or here.call.stopped:
                    raise

    return take


def _cmd_run(stage: Any, dry: bool = False, run_env: dict[str, str] | None = None) -> None:
    call = here.call
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

    call.run(command_of(stage, run_env))
    # What DVC is about to record must be what the command read.
    stage.save_deps = save_deps


def command_of(stage: Any, run_env: dict[str, str] | None = None) -> Command:
    """What a stage of DVC's wants to be run."""
    from flows._command import Command

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
    return _dvc_rwlock(tmp_dir, fs, f"{cmd} ({here.stage})" if here.stage else cmd, *args)


@contextmanager
def _modify_yaml(path: str, fs: Any = None) -> Iterator[Any]:
    file = Path(path).resolve()
    data = parse_yaml_for_update(file.read_text("utf-8"), path) if file.exists() else {}
    yield data
    write_atomic(file, dumps_yaml(data).encode())


@lru_cache(maxsize=2)
def _parsed(text: str, path: str) -> Any:
    return parse_yaml(text, path)


def _load_path(path: str, fs: Any = None, **options: Any) -> Any:
    if options or not path.endswith(".yaml"):
        return _dvc_load_path(path, fs, **options)
    try:
        text = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        # In DVC's words.
        return _dvc_load_path(path, fs)
    return deepcopy(_parsed(text, path))


dvc.stage.run.cmd_run = _cmd_run
dvc.rwlock.rwlock = _rwlock
dvc.dvcfile.modify_yaml = _modify_yaml
dvc.dependency.param.load_path = _load_path
