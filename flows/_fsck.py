"""Checks every stored file of the project."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from flows._cache import DIRECTORY, Output, Store, md5_of
from lockstep.bundle.contents import read_bundle
from lockstep.bundle.registry import Registry
from lockstep.errors import (
    KeyMissing,
    LockstepError,
    NotSealed,
    RegistryError,
    SealDamaged,
    SealUnsupported,
    WrongContext,
)
from lockstep.sealing.header import MAGIC, Header, read_header
from lockstep.sealing.vault import Vault

REPAIR = "`lockstep fsck --repair`"

Step = Callable[[], None]


class Trouble(Enum):
    """What is wrong with a file."""

    DAMAGED = "damaged"
    SWAPPED = "in another file's place"
    UNSEALED = "not sealed"
    UNSUPPORTED = "of a later version"
    KEY_MISSING = "its key is missing"
    ABSENT = "not here"


@dataclass(frozen=True)
class Finding:
    """A file with which something is wrong.

    Attributes
    ----------
    path
        Where it lies.
    trouble, detail
        What is wrong with it.
    current
        The project as it stands needs it; else it is an older version.
    md5
        Hash that dvc.lock records for it, or that its name in the cache gives.
    output
        The output of the workspace that it is, or is a part of.
    """

    path: Path
    trouble: Trouble
    detail: str
    current: bool
    md5: str | None = None
    output: Output | None = None

    @property
    def is_damage(self) -> bool:
        """Whether something is lost or wrong; an older version whose key was destroyed is neither."""
        return self.current or self.trouble is not Trouble.KEY_MISSING


NOT_ITS_OBJECT = "its content is not the one that its name stands for"
NOT_AS_RECORDED = "it is not the file that dvc.lock names"
ABSENT = "dvc.lock names it, and neither workspace nor cache has it"

_TROUBLE = {
    SealDamaged: Trouble.DAMAGED,
    WrongContext: Trouble.SWAPPED,
    NotSealed: Trouble.UNSEALED,
    SealUnsupported: Trouble.UNSUPPORTED,
    KeyMissing: Trouble.KEY_MISSING,
    RegistryError: Trouble.DAMAGED,
    OSError: Trouble.DAMAGED,
}


class Fsck:
    """One check of the project in `store`.

    Parameters
    ----------
    store
        Its outputs and DVC's cache.
    vault
        Its keys.
    registry
        Directory of its registry.

    Attributes
    ----------
    not_pulled
        How many outputs dvc.lock names where none of them is here, as after ``git clone``: not damage. Else 0.
    """

    def __init__(self, store: Store, vault: Vault, registry: Path) -> None:
        self.store = store
        self.not_pulled = 0
        self._vault = vault
        self._registry = registry
        self.outputs = store.outputs()
        recorded = {output.path: store.recorded(output) for output in self.outputs}
        self.recorded = {path: md5 for files in recorded.values() for path, md5 in files.items()}
        self._current = {output.md5 for output in self.outputs} | set(self.recorded.values())
        self._objects = store.objects()
        self._right: set[str] = set()
        self._files = [(output, path) for output in self.outputs for path in _files(store.root / output.path)]
        self._bundles = [
            (Registry(registry, home.name), version)
            for home in sorted(registry.glob("*/"))
            if not home.name.startswith(".")
            for version in Registry(registry, home.name).versions()
        ]

    @property
    def total(self) -> int:
        """How many files, and bundles, there are to check."""
        return len(self._objects) + len(self._files) + len(self._bundles)

    def run(self, step: Step) -> list[Finding]:
        """Check everything; calls `step` after each file."""
        found: list[Finding] = []
        for findings in (self._check_cache(step), self._check_workspace(step), self._check_registry(step)):
            found += findings
        return found + self._absent()

    def _check_cache(self, step: Step) -> Iterator[Finding]:
        sealed = {md5 for path, md5 in self.recorded.items() if path.endswith(".sealed")}
        for md5 in self._objects:
            finding = self.check_object(md5, md5 in sealed)
            if finding:
                yield finding
            step()

    def check_object(self, md5: str, sealed: bool = False) -> Finding | None:
        """Check one object of the cache; `sealed` tells that it has to be a sealed file."""
        path = self.store.object(md5)
        try:
            right = md5_of(path) == md5.removesuffix(DIRECTORY)
        except OSError as error:
            return Finding(path, *_explained(error), md5 in self._current, md5)
        try:
            is_sealed = self._verify(path, None, sealed)
        except (LockstepError, OSError) as error:
            trouble, detail = _explained(error) if right else _altered(error, NOT_ITS_OBJECT)
        else:
            if right:
                self._right.add(md5)
                return None
            trouble, detail = Trouble.SWAPPED if is_sealed else Trouble.DAMAGED, NOT_ITS_OBJECT
        return Finding(path, trouble, detail, md5 in self._current, md5)

    def _check_workspace(self, step: Step) -> Iterator[Finding]:
        for output, path in self._files:
            trouble = self._trouble_of(output, path)
            if trouble:
                name = path.relative_to(self.store.root).as_posix()
                yield Finding(path, *trouble, True, self.recorded.get(name), output)
            step()

    def _trouble_of(self, output: Output, path: Path) -> tuple[Trouble, str] | None:
        name = path.relative_to(self.store.root).as_posix()
        md5 = self.recorded.get(name)
        as_recorded = self._header_of(md5)
        try:
            right = md5 is None or md5_of(path) == md5
        except OSError as error:
            return _explained(error)
        try:
            is_sealed = self._verify(path, as_recorded, name.endswith(".sealed") or as_recorded is not None)
        except (LockstepError, OSError) as error:
            return _explained(error) if right else _altered(error, NOT_AS_RECORDED)
        # A stage that failed leaves files newer than dvc.lock. A sealed one proves what it is, by the header that
        # dvc.lock's own has; of any other it is to be told from what has no reason to be another one.
        proven = is_sealed and as_recorded is not None
        if right or proven or not (is_sealed or output.cached) or self.store.is_stale(output):
            return None
        return Trouble.SWAPPED, NOT_AS_RECORDED

    def _absent(self) -> list[Finding]:
        """What dvc.lock names, and neither workspace nor cache has."""
        stored = [
            (path, md5, output)
            for output in self.outputs
            if output.md5 and output.cached
            for path, md5 in (self.store.recorded(output) or {output.path: output.md5}).items()
        ]
        missing = [
            Finding(self.store.root / path, Trouble.ABSENT, ABSENT, True, md5, output)
            for path, md5, output in stored
            if not (md5 in self._objects or os.path.lexists(self.store.root / path))
        ]
        if len(missing) == len(stored):
            self.not_pulled = len({finding.output for finding in missing})
            return []
        return missing

    def _check_registry(self, step: Step) -> Iterator[Finding]:
        for registry, version in self._bundles:
            try:
                current = registry.champion() == version
            except RegistryError:
                current = False
            try:
                read_bundle(registry.directory(version))
            except (LockstepError, OSError) as error:
                yield Finding(registry.directory(version), *_explained(error), current)
            step()

    def _header_of(self, md5: str | None) -> Header | None:
        """Header of the file that a stage wrote, where the cache has it unharmed."""
        if md5 is None or md5 not in self._right:
            return None
        with self._objects[md5].open("rb") as file:
            return read_header(file)[0] if file.peek(len(MAGIC)).startswith(MAGIC) else None

    def _verify(self, path: Path, expected: Header | None, sealed: bool) -> bool:
        """Check a file's tags if it is or has to be sealed; tells whether it is."""
        with path.open("rb") as file:
            if not sealed and file.read(len(MAGIC)) != MAGIC:
                return False
        role, schema = (expected.role, expected.schema) if expected else (None, None)
        self._vault.verify(path, role=role, schema=schema)
        return True


def remedy(finding: Finding) -> str:
    """What the person has to do about a finding that a repair does not touch, or has not touched yet."""
    if finding.trouble is Trouble.KEY_MISSING:
        return "import its key: `lockstep keys import FILE`" if finding.current else "an older version"
    if finding.trouble is Trouble.ABSENT:
        return "`dvc pull`, or `lockstep run` to make it anew"
    if finding.trouble is Trouble.UNSUPPORTED:
        return "upgrade Lockstep"
    if finding.md5 is None and finding.output is None:
        return "deploy again: `lockstep deploy`"
    return REPAIR


def _explained(error: Exception) -> tuple[Trouble, str]:
    trouble = next(
        (trouble for kind, trouble in _TROUBLE.items() if isinstance(error, kind)), Trouble.DAMAGED
    )
    # The format's own words where there are some: file and remedy have columns of their own.
    inner = error.__context__ if type(error.__context__) is type(error) else error
    return trouble, str(inner)


def _altered(error: Exception, how: str) -> tuple[Trouble, str]:
    """What an error means for a file that is known not to be what it was: what its header asks for is not to be had."""
    trouble, detail = _explained(error)
    misled = trouble in (Trouble.KEY_MISSING, Trouble.UNSUPPORTED)
    return (Trouble.DAMAGED, how) if misled else (trouble, detail)


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file() and file.name != ".gitignore")
    return [path] if path.exists() or path.is_symlink() else []
