"""Repairs what `flows._fsck` found: damaged files are set aside, and good ones come back."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from flows._cache import Output, md5_of
from flows._fsck import REPAIR, Finding, Fsck, remedy
from lockstep.files import sync_directory

QUARANTINE = Path(".lockstep/quarantine")


@dataclass(frozen=True)
class Result:
    """What became of a finding, and whether the file is good again."""

    finding: Finding
    outcome: str
    good: bool = False


class Repair:
    """Sets damaged files aside, and brings good ones back from the workspace, the cache or the DVC remote.

    Parameters
    ----------
    fsck
        The check that found them.

    Attributes
    ----------
    set_aside
        Where the damaged files lie now.
    """

    def __init__(self, fsck: Fsck) -> None:
        self.set_aside: list[Path] = []
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
            sync_directory(target.parent)
            self.set_aside.append(target)

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
