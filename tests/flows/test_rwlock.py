"""DVC's record of readers and writers, as kills leave it: no command fails for it afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows._locks import RUN, only_one
from flows._rwlock import mend
from lockstep.errors import LockstepError
from tests.flows.conftest import GRAPH, lockstep, repro, wait_for, write

MENDED = "Removed .dvc/tmp/rwlock, which a process that was killed had left unusable for DVC."
WAITING = "touch started; while ! test -e go; do sleep 0.1; done; cp one.txt two.txt"
#: Kills itself in the middle of DVC's writing of its record.
KILLED = """
import json, os, signal
import dvc.rwlock
from dvc.cli import main

dump = json.dump

def half(document, file):
    file.write('{"write": {"/so')
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

dvc.rwlock.json.dump = half
main(["repro", "-q"])
"""


@pytest.fixture
def root(repository: Any) -> Path:
    made: Path = repository(**{"source.txt": "a\n", "dvc.yaml": GRAPH})
    return made


def record(root: Path) -> Path:
    return root / ".dvc" / "tmp" / "rwlock"


def owned(pid: int, root: Path) -> str:
    """A record that a process writes one.txt."""
    return json.dumps({"write": {str(root / "one.txt"): {"pid": pid, "cmd": "dvc repro"}}, "read": {}})


@pytest.fixture
def dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def other() -> Iterator[int]:
    """Number of a living process that is none of DVC's."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


def test_a_run_mends_what_a_kill_in_the_middle_left(root: Path, server: str) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED], cwd=root, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert record(root).read_text() == '{"write": {"/so'
    assert "JSON structure is corrupted" in repro(root, quiet=False).stderr
    done = lockstep(root, "run")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{MENDED}\n")
    assert repro(root).returncode == 0


@pytest.mark.parametrize("verb", ["status", "run"])
def test_it_is_mended_where_nothing_is_to_run(root: Path, verb: str) -> None:
    assert repro(root).returncode == 0
    record(root).write_text("")
    done = lockstep(root, verb)
    assert (done.stdout.splitlines()[0], done.stderr) == (MENDED, "")
    assert "2 stages are up to date." in done.stdout
    assert repro(root).returncode == 0
    assert lockstep(root, verb).stdout.splitlines()[0] != MENDED


def test_a_flow_run_of_the_server_mends_it(root: Path, flow: Any) -> None:
    record(root).write_text("")
    assert flow(root).is_completed()


def test_dvc_forgets_the_dead_itself(root: Path, dead: int) -> None:
    record(root).write_text(owned(dead, root))
    assert mend(root) is None
    assert repro(root).returncode == 0


def test_a_number_that_another_process_got_is_no_owner(root: Path, other: int) -> None:
    record(root).write_text(owned(other, root))
    hour_ago = time.time() - 3600
    os.utime(record(root), (hour_ago, hour_ago))
    assert "busy" in repro(root, quiet=False).stderr
    os.utime(record(root), (hour_ago, hour_ago))
    assert mend(root) == MENDED
    assert repro(root).returncode == 0


def test_a_living_owner_keeps_it(root: Path, other: int) -> None:
    text = owned(other, root)
    record(root).write_text(text)
    assert mend(root) is None
    record(root).write_text(text[:-4])
    with pytest.raises(LockstepError, match=f"DVC's process {other} may still work here"):
        mend(root)
    assert record(root).read_text() == text[:-4]
    status = lockstep(root, "status")
    assert (status.returncode, status.stderr[:9]) == (0, "warning: ")
    assert status.stdout.startswith("one: has not run yet\n")


def test_a_repro_at_work_keeps_an_empty_one(root: Path) -> None:
    write(root, {"dvc.yaml": GRAPH.replace("cp one.txt two.txt", WAITING)})
    beside = subprocess.Popen([sys.executable, "-m", "dvc", "repro", "-q"], cwd=root)
    wait_for((root / "started").exists)
    record(root).write_text("")
    with pytest.raises(LockstepError, match=f"DVC's process {beside.pid} may still work here"):
        mend(root)
    beside.kill()
    # DVC leaves its shell behind.
    (root / "go").touch()
    beside.wait()
    assert mend(root) == MENDED


def test_another_run_is_left_alone(root: Path) -> None:
    record(root).write_text("")
    with only_one(root / RUN, "{owner}"):
        assert mend(root) is None
    assert record(root).exists()
