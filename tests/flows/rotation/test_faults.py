"""Kills and full disks in the middle of a rotation: it is undone or finished, and no key is lost."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from flows._rotation import HOME, KEY_ID, is_interrupted
from lockstep.sealing.keyring import open_keyring

from .conftest import SECRET, assert_up_to_date, contents, start, vault

# How often unlink is called depends on DVC's databases; the journal's end lies between two calls of fsync.
CALLS = ["write", "fsync", "rename", "unlinkat", "rmdir"]
FAULTS = ["signal=KILL", "error=ENOSPC", "error=EIO"]

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="injects faults with strace")


def traced(project: Path, call: str) -> list[tuple[int, str]]:
    """The calls of this kind that concern the project or its keys, each with its number among all."""
    log = project.parent.parent / "log"
    done = start(
        project, "keys", "rotate", tracer=["strace", "-qq", "-y", "-o", str(log), "-e", f"trace={call}"]
    )
    assert done.returncode == 0, done.stderr
    home = str(project.parent)
    # DVC truncates its own lock files before it writes them, and says so if that was interrupted.
    return [
        (number, line)
        for number, line in enumerate(log.read_text().splitlines(), 1)
        if home in line and "/.dvc/tmp/" not in line
    ]


def restore(home: Path, copy: Path) -> None:
    shutil.rmtree(home)
    shutil.copytree(copy, home, symlinks=True)


def inject(project: Path, call: str, fault: str, among: tuple[str, ...] = ("",)) -> None:
    """Inject a fault at each call of a kind in turn, and check what comes of it."""
    home, copy = project.parent, project.parent.parent / "copy"
    shutil.copytree(home, copy)
    old, expected = vault()._key.id, contents()
    calls = [number for number, line in traced(project, call) if any(name in line for name in among)]
    assert calls
    for number in calls:
        restore(home, copy)
        os.chdir(project)
        tracer = ["strace", "-qq", "-o", "/dev/null", "-e", f"trace={call}"]
        tracer += ["-e", f"inject={call}:{fault}:when={number}"]
        code = start(project, "keys", "rotate", tracer=tracer).returncode
        assert code or not fault.startswith("signal")
        check(project, old, expected)


def check(project: Path, old: str, expected: dict[str, bytes]) -> None:
    """No key is lost, the project is whole, and another call brings it to a good end."""
    decided, named = is_interrupted(project), (project / KEY_ID).read_text().strip()
    assert {old, named} <= open_keyring("demo").keys.keys()
    assert contents() == expected
    if not decided:
        assert_up_to_date(project)
    done = start(project, "keys", "rotate")
    assert done.returncode == 0, done.stderr
    assert ("Finished the interrupted" in done.stdout) == decided
    keyring = open_keyring("demo")
    assert keyring.active == vault()._key.id != old
    # What was undone leaves no key behind, and what was decided needs no second one.
    assert len(keyring.keys) == (2 if decided or named == old else 3)
    assert contents() == expected
    assert not (project / HOME).exists()
    assert_up_to_date(project)
    assert not [
        path for path in project.rglob("*.tmp") if path.is_file() and SECRET[:15] in path.read_bytes()
    ]


@pytest.mark.faults
def test_killed_before_the_decision_in_the_middle_and_before_the_last_step(project: Path) -> None:
    inject(
        project, "rename", "signal=KILL", ("journal.json", "project/data/shards/1.sealed", "project/dvc.lock")
    )


@pytest.mark.faults
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS)
def test_every_fault(project: Path, call: str, fault: str) -> None:
    inject(project, call, fault)
