"""Whenever a run is killed, through whichever door: no orphan, a valid dvc.lock, and the next run does the rest.

The points are functions of DVC through which both doors go; a driver kills its own process before or after one of their
calls. A sample runs with every test run, all of them with `make faults`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.flows.conftest import ROOT, repro, write

COPY = """
import argparse
import os
from pathlib import Path

from lockstep.files import write_atomic
from tasks._stage import command


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--source")
    parser.add_argument("--out")
    args = parser.parse_args(argv)
    with open(os.environ["RUNS"], "a") as runs:
        runs.write(os.environ["DVC_STAGE"] + "\\n")
    write_atomic(Path(args.out), Path(args.source).read_bytes() + b"more")


if __name__ == "__main__":
    command(main)
"""
GRAPH = """
stages:
  first:
    cmd: python -m tasks.copy --source source.txt --out first.txt
    deps: [source.txt, tasks/copy.py]
    outs: [first.txt]
  second:
    cmd: cat first.txt first.txt > second.txt && echo second >> $RUNS
    deps: [first.txt]
    outs: [second.txt]
  third:
    cmd: python -m tasks.copy --source second.txt --out third.txt
    deps: [second.txt, tasks/copy.py]
    metrics: [{third.txt: {cache: false}}]
"""
DRIVER = """
import importlib, os, signal, sys

door, target, when, nth = sys.argv[1:5]
if door == "flow":
    import asyncio
    from flows.lifecycle import lifecycle as run
else:
    from dvc.cli import main as run
module, _, path = target.partition(":")
owner = importlib.import_module(module)
*parents, name = path.split(".")
for parent in parents:
    owner = getattr(owner, parent)
function, calls = getattr(owner, name), 0


def killing(*args, **options):
    global calls
    calls += 1
    hit = calls == int(nth)
    if hit and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        return function(*args, **options)
    finally:
        if hit:
            os.kill(os.getpid(), signal.SIGKILL)


setattr(owner, name, killing)
if door == "flow":
    asyncio.run(run())
else:
    sys.exit(run(["repro", "-q"]))
"""
# What a run goes through, and which call of it lies in the second or third stage.
POINTS = {
    "lock": ("dvc.lock:Lock.lock", 3),
    "unlock": ("dvc.lock:Lock.unlock", 2),
    "read-write lock": ("dvc.rwlock:_edit_rwlock", 3),
    "hash": ("dvc.output:Output.get_hash", 4),
    "run-cache look-up": ("dvc.stage.cache:StageCache.restore", 2),
    "removal of old outputs": ("dvc.stage:Stage.remove_outs", 2),
    "saving of dependencies": ("dvc.stage:Stage.save_deps", 3),
    "run": ("dvc.stage.run:cmd_run", 2),
    "save": ("dvc.stage:Stage.save", 2),
    "saving of outputs": ("dvc.stage:Stage.save_outs", 2),
    "run-cache entry": ("dvc.stage.cache:StageCache.save", 2),
    "commit": ("dvc.stage:Stage.commit", 2),
    "transfer into the cache": ("dvc.output:Output.commit", 2),
    "dump": ("dvc.stage:Stage.dump", 2),
    "record in dvc.lock": ("dvc.dvcfile:Lockfile.dump_stages", 2),
}
# What only the flow has.
FLOW_POINTS = {
    "atomic rename of dvc.lock": ("flows._hooks:write_atomic", 2),
    "hand-over to the runner": ("flows._hooks:Call.run", 2),
    "state of a task run": ("prefect.task_engine:AsyncTaskRunEngine.set_state", 5),
}
SAMPLE = {("flow", "run", "before"), ("flow", "record in dvc.lock", "after"), ("dvc", "commit", "before")}
CASES = [
    pytest.param(
        door,
        *(POINTS | FLOW_POINTS)[point],
        when,
        id=f"{door}: {when} {point}",
        marks=() if (door, point, when) in SAMPLE else pytest.mark.faults,
    )
    for door in ("flow", "dvc")
    for point in (POINTS | FLOW_POINTS if door == "flow" else POINTS)
    for when in ("before", "after")
]


@pytest.fixture(scope="session")
def reference(empty_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    import shutil

    root = tmp_path_factory.mktemp("reference") / "repository"
    shutil.copytree(empty_repository, root)
    write(root, {"source.txt": "a\n", "tasks/copy.py": COPY, "dvc.yaml": GRAPH})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNS", "/dev/null")
        assert repro(root).returncode == 0
    return yaml.safe_load((root / "dvc.lock").read_text())


def living_in(root: Path) -> list[str]:
    """Commands of the processes that work in a directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink().is_relative_to(root) and "Z" not in (
                process / "stat"
            ).read_text():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            continue
    return found


def recorded(root: Path) -> dict[str, Any]:
    lock = root / "dvc.lock"
    return yaml.safe_load(lock.read_text())["stages"] if lock.exists() else {}


@pytest.mark.parametrize(("door", "target", "nth", "when"), CASES)
def test_a_kill(
    door: str,
    target: str,
    nth: int,
    when: str,
    repository: Any,
    flow: Any,
    reference: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = repository(**{"source.txt": "a\n", "tasks/copy.py": COPY, "dvc.yaml": GRAPH})
    runs = root.parent / "runs"
    runs.touch()
    monkeypatch.setenv("RUNS", str(runs))
    driver = [sys.executable, "-c", DRIVER, door, target, when, str(nth)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    killed = subprocess.run(driver, cwd=root, env=environment, capture_output=True, text=True, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    deadline = time.monotonic() + 5
    while living := living_in(root):
        assert time.monotonic() < deadline, living
        time.sleep(0.05)
    before = recorded(root)
    assert before == {name: reference["stages"][name] for name in before}

    if door == "flow":
        state = flow(root)
        assert state.is_completed(), state.message
    else:
        done = repro(root)
        assert done.returncode == 0, done.stderr
    assert recorded(root) == reference["stages"]
    assert (root / "third.txt").read_bytes() == b"a\nmorea\nmoremore"
    counts = runs.read_text().split()
    assert all(counts.count(name) == 1 for name in before), "what was recorded ran again"
    assert set(counts) == {"first", "second", "third"}
    assert not list(root.glob(".*.tmp"))
