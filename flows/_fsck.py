"""Checks every stored file of the project, and repairs what can be repaired."""

from __future__ import annotations

import shutil
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

QUARANTINE = Path(".lockstep/quarantine")

REPAIR = "`lockstep fsck --repair`"

Step = Callable[[], None]


class Trouble(Enum):
    """What is wrong with a file."""

    DAMAGED = "damaged"
    SWAPPED = "in another file's place"
    UNSEALED = "not sealed"
    UNSUPPORTED = "of a later version"
    KEY_MISSING = "its key is missing"


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
    """

    def __init__(self, store: Store, vault: Vault, registry: Path) -> None:
        self.store = store
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
        return found

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
            is_sealed = self._verify(path, None, sealed)
        except (LockstepError, OSError) as error:
            trouble, detail = _explained(error)
        else:
            if right:
                self._right.add(md5)
                return None
            trouble = Trouble.SWAPPED if is_sealed else Trouble.DAMAGED
            detail = "its content is not the one that its name stands for"
        return Finding(path, trouble, detail, md5 in self._current, md5)

    def _check_workspace(self, step: Step) -> Iterator[Finding]:
        for output, path in self._files:
            name = path.relative_to(self.store.root).as_posix()
            md5 = self.recorded.get(name)
            as_recorded = self._header_of(md5)
            try:
                self._verify(path, as_recorded, name.endswith(".sealed") or as_recorded is not None)
            except (LockstepError, OSError) as error:
                yield Finding(path, *_explained(error), True, md5, output)
            step()

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


@dataclass(frozen=True)
class Result:
    """What became of a finding, and whether the file is good again."""

    finding: Finding
    outcome: str
    good: bool = False


class Repair:
    """Sets damaged files aside, and brings good ones back from the workspace, the cache or the DVC remote."""

    def __init__(self, fsck: Fsck) -> None:
        self._fsck = fsck
        self._store = fsck.store

    def run(self, findings: list[Finding]) -> list[Result]:
        """Repair what `findings` name; gives each with what became of it."""
        ours = [finding for finding in findings if remedy(finding) == REPAIR]
        for finding in ours:
            self._set_aside(finding.path)
        results = self._bring_back([finding for finding in ours if finding.output is None])
        results += [
            self._check_out(finding, finding.output) for finding in ours if finding.output is not None
        ]
        return results + [Result(finding, remedy(finding)) for finding in findings if finding not in ours]

    def _set_aside(self, path: Path) -> None:
        root = self._store.root
        name = path.relative_to(root) if path.is_relative_to(root) else Path("cache", *path.parts[-2:])
        target = root / QUARANTINE / name
        number = 0
        while target.exists() or target.is_symlink():
            number += 1
            target = target.with_name(f"{name.name}.{number}")
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            # It leads into the cache, whose object is set aside on its own account.
            path.unlink()
        elif path.exists():
            shutil.move(path, target)

    def _bring_back(self, findings: list[Finding]) -> list[Result]:
        at_hand = {md5: path for path, md5 in self._fsck.recorded.items()}
        results, missing = [], {}
        for finding in findings:
            md5 = str(finding.md5)
            copy = self._store.root / at_hand.get(md5, "")
            if copy.is_file() and md5_of(copy) == md5:
                self._store.place(copy, md5)
                results.append(Result(finding, "restored from the workspace", good=True))
            else:
                missing[md5] = finding
        if missing:
            self._store.fetch(list(missing))
        return results + [self._fetched(md5, finding) for md5, finding in missing.items()]

    def _fetched(self, md5: str, finding: Finding) -> Result:
        path = self._store.object(md5)
        if not path.exists():
            return Result(finding, self._lost(finding))
        if self._fsck.check_object(md5) is None:
            return Result(finding, "fetched again from the DVC remote", good=True)
        self._set_aside(path)
        return Result(finding, f"the DVC remote's copy is damaged too; {self._lost(finding)}")

    def _check_out(self, finding: Finding, output: Output) -> Result:
        if output.md5 and output.cached:
            if not self._store.object(output.md5).exists():
                self._store.fetch([output.md5])
            if self._store.check_out(output.path) and finding.path.exists():
                return Result(finding, "restored from the cache", good=True)
        return Result(finding, f"set aside; stage {output.stage} will make it anew: `lockstep run`")

    def _lost(self, finding: Finding) -> str:
        if not finding.current:
            return "set aside; an older version, which no DVC remote at hand has"
        stages = [output.stage for output in self._fsck.outputs if self._is_of(finding, output)]
        return f"set aside; stage {' or '.join(stages)} will make it anew: `lockstep run`"

    def _is_of(self, finding: Finding, output: Output) -> bool:
        return finding.md5 == output.md5 or finding.md5 in self._store.recorded(output).values()


def remedy(finding: Finding) -> str:
    """What the person has to do about a finding that a repair does not touch, or has not touched yet."""
    if finding.trouble is Trouble.KEY_MISSING:
        return "import its key: `lockstep keys import FILE`" if finding.current else "an older version"
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


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file() and file.name != ".gitignore")
    return [path] if path.exists() or path.is_symlink() else []
