"""What DVC stores of the project: the outputs, the objects of its cache, and the files that name their hashes."""

from __future__ import annotations

import glob
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dvc.rwlock
from dvc.config import NoRemoteError
from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.repo import Repo, lock_repo
from dvc.stage import PipelineStage
from dvc.utils.serialize import dumps_yaml
from dvc.utils.serialize._yaml import parse_yaml_for_update
from dvc_data.hashfile.hash_info import HashInfo

from flows._dvc import dvc_errors
from lockstep.errors import UsageError
from lockstep.files import replaced, sync_directory, write_atomic

DIRECTORY = ".dir"
"""End of the name of an object that lists a directory's files."""

# What a remote lacks is told with what it means for the file.
logging.getLogger("dvc.data_cloud").setLevel(logging.ERROR)

_OBJECT = re.compile(r"[0-9a-f]{30}(\.dir)?")
_READ_ONLY = 0o444
_LOCK = "dvc.lock"


@dataclass(frozen=True)
class Output:
    """An output of a stage, or what `dvc add` tracks.

    Attributes
    ----------
    path
        Relative to the root.
    stage
        What makes it, as DVC addresses it.
    md5
        Recorded hash; None where the stage did not run yet. That of a directory ends in ``.dir``.
    cached
        DVC keeps it in its cache.
    """

    path: str
    stage: str
    md5: str | None
    cached: bool


class Store:
    """Outputs and cache of the DVC repository at `root`; what it imports from other repositories is left out."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        with dvc_errors():
            try:
                self._repo = Repo(str(self.root))
            except NotDvcRepoError:
                raise UsageError(f"{root} is no DVC repository. Run `dvc init` there.") from None
        self.cache = Path(self._repo.cache.local.path)

    def close(self) -> None:
        """Give back what the repository holds open."""
        self._repo.close()

    @contextmanager
    def locked(self, why: str) -> Iterator[None]:
        """Keep DVC and stages that it runs from outputs, cache and dvc.lock meanwhile."""
        hardlink = self._repo.config["core"].get("hardlink_lock", False)
        with dvc_errors(), ExitStack() as stack:
            stack.enter_context(lock_repo(self._repo))
            paths = [str(self.root / output.path) for output in self.outputs()]
            stack.enter_context(
                dvc.rwlock.rwlock(self._repo.tmp_dir, self._repo.fs, why, [], paths, hardlink)
            )
            yield

    def outputs(self) -> list[Output]:
        """Every output with its recorded hash."""
        with dvc_errors():
            return [
                Output(self._relative(out.fs_path), stage.addressing, out.hash_info.value, out.use_cache)
                for stage in self._stages()
                for out in stage.outs
                if out.protocol == "local"
            ]

    def recorded(self, output: Output) -> dict[str, str]:
        """Path and recorded hash of each file of an output, as far as the cache tells."""
        if output.md5 is None:
            return {}
        if not output.md5.endswith(DIRECTORY):
            return {output.path: output.md5}
        try:
            entries = json.loads(self.object(output.md5).read_bytes())
            return {f"{output.path}/{entry['relpath']}": entry["md5"] for entry in entries}
        except (OSError, ValueError, TypeError, LookupError):
            return {}

    def is_stale(self, output: Output) -> bool:
        """Whether the output may well differ from what is recorded: its stage has to run, or a person makes it."""
        stage = next(stage for stage in self._stages() if stage.addressing == output.stage)
        with dvc_errors():
            return bool(
                stage.is_data_source
                or stage.is_callback
                or stage.always_changed
                or stage.changed_stage()
                or any(dep.status() for dep in stage.deps)
            )

    def object(self, md5: str) -> Path:
        """Where the cache has the content of this hash, or would have it."""
        return self.cache / md5[:2] / md5[2:]

    def objects(self) -> dict[str, Path]:
        """Every object of the cache by the hash that its name gives."""
        found = sorted(path for path in self.cache.glob("[0-9a-f][0-9a-f]/*") if _OBJECT.fullmatch(path.name))
        return {path.parent.name + path.name: path for path in found}

    def place(self, source: Path, md5: str) -> None:
        """Copy the content of this hash into the cache, durably, if it is not there."""
        target = self.object(md5)
        if not target.exists():
            _sweep(target)
            copy(source, target, _READ_ONLY)

    def fetch(self, hashes: Sequence[str]) -> bool:
        """Fetch objects from the DVC remote, as far as it has them; False: there is no remote."""
        with dvc_errors():
            try:
                self._repo.cloud.pull([HashInfo("md5", md5) for md5 in hashes])
            except NoRemoteError:
                return False
        return True

    def check_out(self, path: str) -> bool:
        """Restore an output of the workspace from the cache; False: the cache lacks it."""
        try:
            self._repo.checkout(targets=[str(self.root / path)], force=True)
        except DvcException:
            return False
        return True

    def rewrite(self, changed: Mapping[tuple[str, str], str]) -> None:
        """Record other hashes: for each path and old hash the new one, in every dvc.lock and .dvc file.

        Sizes stay: resealing does not change them. Each file is replaced in one step, the root's dvc.lock last.
        """
        files: dict[Path, list[Any]] = {}
        for stage in self._stages():
            path = Path(stage.path)
            files.setdefault(path.with_name(_LOCK) if _in_lock(stage) else path, []).append(stage)
        last = self.root / _LOCK
        for file, stages in sorted(files.items(), key=lambda item: item[0] == last):
            if file.exists():
                self._rewrite(file, stages, changed)

    def _rewrite(self, file: Path, stages: Iterable[Any], changed: Mapping[tuple[str, str], str]) -> None:
        document = parse_yaml_for_update(file.read_text("utf-8"), str(file))
        touched = False
        for stage in stages:
            record = document["stages"].get(stage.name, {}) if _in_lock(stage) else document
            for entry in [*record.get("deps", []), *record.get("outs", [])]:
                path = self._relative(Path(stage.wdir, entry["path"]))
                new = changed.get((path, entry.get("md5", "")))
                if new:
                    entry["md5"], touched = new, True
        if touched:
            write_atomic(file, dumps_yaml(document).encode())

    def _stages(self) -> list[Any]:
        return [stage for stage in self._repo.index.stages if _in_lock(stage) or stage.is_data_source]

    def _relative(self, path: str | Path) -> str:
        return Path(os.path.relpath(path, self.root)).as_posix()


def _in_lock(stage: Any) -> bool:
    return isinstance(stage, PipelineStage)


def md5_of(path: Path) -> str:
    """MD5 of a file's content: the name of its object."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def replace_by(source: Path, target: Path, old: Path, new: Path) -> None:
    """Replace `target` by what `source` holds, durably.

    Where it is a link to the object `old` of the cache, it becomes one to the object `new`.
    """
    _sweep(target)
    if not (old.exists() and target.samefile(old)):
        copy(source, target)
        return
    link = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    if target.is_symlink():
        link.symlink_to(new)
    else:
        link.hardlink_to(new)
    link.replace(target)
    sync_directory(target.parent)


def _sweep(target: Path) -> None:
    """Delete what killed writes of `target` left beside it: in a directory output it would count as a file of it."""
    for leftover in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        leftover.unlink()


def copy(source: Path, target: Path, mode: int = 0o644) -> None:
    """Replace `target` by a copy of `source`, durably and in one step."""
    with source.open("rb") as file, replaced(target, mode) as new:
        shutil.copyfileobj(file, new, 1 << 20)
