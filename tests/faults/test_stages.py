"""Kills, full disks and failing ones at every write, fsync and rename of a stage: each output is the old or the new."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import arguments, outputs, stages

CALLS = ["write", "fsync", "rename"]
FAULTS = ["signal=KILL", "error=ENOSPC", "error=EIO"]

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="injects faults with strace")


class Stage:
    """A stage that is about to replace what an earlier run left."""

    def __init__(self, name: str, params: dict[str, int], before: Path, home: Path) -> None:
        self.name = name
        self.root = home / "project"
        self._before = home / "before"
        shutil.copytree(before, self._before)
        path = self._before / "params.yaml"
        document = yaml.safe_load(path.read_text())
        document[name].update(params)
        path.write_text(yaml.safe_dump(document))
        self.old = self._contents(self._before)
        self._log = home / "log"

    def _contents(self, root: Path) -> dict[str, bytes]:
        return {out: (root / out).read_bytes() for out in outputs(stages(root)[self.name])}

    @property
    def contents(self) -> dict[str, bytes]:
        return self._contents(self.root)

    def reset(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self._before, self.root)

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", f"tasks.{self.name}", *arguments(stages(self.root)[self.name])]
        if options:
            command = ["strace", "-qq", "-y", "-o", str(self._log), *options, *command]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True)

    def calls(self, call: str, among: str) -> list[int]:
        """Numbers of the calls of this kind that concern the project's file `among`, of any file where empty."""
        self.reset()
        done = self.run("-e", f"trace={call}")
        assert done.returncode == 0, done.stderr
        lines = self._log.read_text().splitlines()
        here = [n for n, line in enumerate(lines, 1) if str(self.root) in line or call == "rename"]
        assert here
        return [n for n in here if among in lines[n - 1]]

    def inject(self, call: str, fault: str, among: str = "") -> None:
        numbers = self.calls(call, among)
        new = self.contents
        assert numbers
        assert new != self.old
        for number in numbers:
            self.reset()
            done = self.run("-e", f"trace={call}", "-e", f"inject={call}:{fault}:when={number}")
            for out, content in self.contents.items():
                assert content in (self.old[out], new[out]), (number, out)
            left = [path for path in self.root.rglob("*.tmp") if path.is_file()]
            if fault.startswith("error"):
                assert not left
                assert (done.returncode, done.stderr[:7]) == (1, "error: "), done.stderr
            else:
                assert done.returncode
                assert not [path for path in left if b"PAR1" in path.read_bytes()]
                again = self.run()
                assert again.returncode == 0, again.stderr
                assert self.contents == new, number


def split(project: Path, home: Path) -> Stage:
    return Stage("split", {"seed": 21}, project, home)


@pytest.mark.faults
def test_killed_at_each_rename(small_project: Path, tmp_path: Path) -> None:
    split(small_project, tmp_path).inject("rename", "signal=KILL")


@pytest.mark.faults
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS)
def test_every_fault(small_project: Path, tmp_path: Path, call: str, fault: str) -> None:
    split(small_project, tmp_path).inject(call, fault)


@pytest.mark.faults
@pytest.mark.timeout(900)
@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_killed_inside_a_checkpoint(small_project: Path, tmp_path: Path, call: str) -> None:
    train = Stage("train", {"epochs": 3, "patience": 3, "seed": 21}, small_project, tmp_path)
    train.inject(call, "signal=KILL", "checkpoints")
    assert not list((train.root / ".lockstep" / "checkpoints").rglob("*.sealed"))
