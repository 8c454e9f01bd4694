"""A disk that is full at any moment of a run: nothing torn, a valid dvc.lock, and the next run does the rest.

The project lies on a small tmpfs in a mount namespace of its own, with a number of free pages; so each write of a run
in turn finds no space.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.flows.conftest import ROOT, repro

NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
PAGE = 4096
#: Pages with which the whole pipeline fits; the test of it would fail, were it too few.
ENOUGH = 80
SAMPLE = [0, 9, 24]
GROW = """
import argparse
import os
from pathlib import Path

from lockstep.files import write_atomic


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--source")
    parser.add_argument("--out")
    args = parser.parse_args(argv)
    with open(os.environ["RUNS"], "a") as runs:
        runs.write(os.environ["DVC_STAGE"] + "\\n")
    write_atomic(Path(args.out), Path(args.source).read_bytes() + args.out.encode() * 1000)


if __name__ == "__main__":
    main()
"""
GRAPH = """
stages:
  first:
    cmd: python -m tasks.grow --source source.txt --out first.txt
    deps: [source.txt, tasks/grow.py]
    outs: [first.txt]
  second:
    cmd: cat first.txt first.txt > second.txt && echo second >> $RUNS
    deps: [first.txt]
    outs: [second.txt]
  third:
    cmd: python -m tasks.grow --source second.txt --out third.txt
    deps: [second.txt, tasks/grow.py]
    metrics: [{third.txt: {cache: false}}]
"""
DRIVER = '''
import asyncio, hashlib, json, os, shutil, subprocess, sys
from pathlib import Path

import yaml

template, disk, runs = map(Path, sys.argv[1:4])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], check=True)
from flows.lifecycle import lifecycle


def flow():
    """Run it in a process of its own, as people do: DVC keeps a lock that it cannot write until its process ends."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child:
        os.close(theirs)
        with open(ours) as answer:
            text = answer.read()
        os.waitpid(child, 0)
        return json.loads(text)

    async def go():
        return await lifecycle(return_state=True)

    try:
        state = asyncio.run(go())
        os.write(theirs, json.dumps({"completed": state.is_completed(), "message": state.message}).encode())
    finally:
        os._exit(0)


def look(root):
    lock = root / "dvc.lock"
    # A dot before the name: DVC's own temporary files.
    objects = [path for path in (root / ".dvc/cache/files").rglob("[!.]*") if path.is_file()]
    return {
        "lock": yaml.safe_load(lock.read_text()) if lock.exists() else {"stages": {}},
        "outputs": {
            name: hashlib.md5((root / name).read_bytes()).hexdigest()
            for name in ("first.txt", "third.txt") if (root / name).exists()
        },
        "torn": [
            str(path) for path in objects
            if hashlib.md5(path.read_bytes()).hexdigest() != path.parent.name + path.name
        ],
        "runs": runs.read_text().split(),
        # DVC leaves some of its own, which are named after nothing.
        "leftovers": [str(path) for path in root.rglob(".*.*.tmp")],
    }


for pages in map(int, sys.argv[4:]):
    root = disk / "project"
    shutil.copytree(template, root)
    runs.write_text("")
    os.chdir(root)
    free = os.statvfs(disk).f_bavail * 4096
    with (disk / "ballast").open("wb") as ballast:
        os.posix_fallocate(ballast.fileno(), 0, free - pages * 4096)
    full = flow() | look(root)
    (disk / "ballast").unlink()
    again = flow() | look(root)
    print(json.dumps([pages, full, again]), flush=True)
    os.chdir(disk)
    shutil.rmtree(root)
'''


def can_mount(folder: Path) -> bool:
    mount = (*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", str(folder))
    return shutil.which("unshare") is not None and subprocess.run(mount, capture_output=True).returncode == 0


def check(repository: Any, server: str, tmp_path: Path, frees: list[int]) -> list[bool]:
    """Run on disks with so many free pages; gives which runs completed at once."""
    disk, runs = tmp_path / "disk", tmp_path / "runs"
    disk.mkdir()
    if not can_mount(disk):
        pytest.skip("no file system can be mounted here without privileges")
    files = {"source.txt": "a" * PAGE, "tasks/grow.py": GROW, "dvc.yaml": GRAPH}
    template, theirs = repository("template", **files), repository("theirs", **files)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RUNS": str(runs)}
    runs.touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNS", os.devnull)
        assert repro(theirs).returncode == 0
    reference = yaml.safe_load((theirs / "dvc.lock").read_text())
    contents = {
        name: reference["stages"][stage]["outs"][0]["md5"]
        for stage, name in (("first", "first.txt"), ("third", "third.txt"))
    }
    command = [
        *NAMESPACE,
        sys.executable,
        "-c",
        DRIVER,
        str(template),
        str(disk),
        str(runs),
        *map(str, frees),
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert [pages for pages, _, _ in results] == frees
    for pages, full, again in results:
        recorded = full["lock"]["stages"]
        # DVC has words of its own for a disk that is full.
        assert full["completed"] or "Unexpected" not in full["message"], full
        assert recorded == {name: reference["stages"][name] for name in recorded}, pages
        assert full["outputs"] == {name: contents[name] for name in full["outputs"]}, pages
        assert full["torn"] == again["torn"] == [], pages
        assert full["leftovers"] == again["leftovers"] == [], pages
        assert again["completed"], (pages, again["message"])
        assert again["lock"] == reference, pages
        assert again["outputs"] == contents, pages
        counts = {name: again["runs"].count(name) for name in reference["stages"]}
        assert all(counts.values()), pages
        assert all(counts[name] == 1 for name in recorded), "what was recorded ran again"
    return [full["completed"] for _, full, _ in results]


@pytest.mark.faults
def test_a_sample(repository: Any, server: str, tmp_path: Path) -> None:
    assert check(repository, server, tmp_path, SAMPLE) == [False] * len(SAMPLE)


@pytest.mark.faults
def test_every_page(repository: Any, server: str, tmp_path: Path) -> None:
    completed = check(repository, server, tmp_path, list(range(ENOUGH)))
    assert (completed[0], completed[-1]) == (False, True)
