"""What the flow costs over `dvc repro` and over plain Prefect; ratios of medians, measured in turns.

    python -m benchmarks.orchestration [nothing] [trivial] [parallel] [slice] [table] [--rounds N]

Needs the virtual environment in PATH. `table` runs the whole default pipeline several times and takes long.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import yaml

from tests.flows.conftest import free_port

ROOT = Path(__file__).resolve().parents[1]
CLEAN = ("dvc.lock", ".dvc/cache", ".dvc/tmp")

PLAIN_PREFECT = """
from prefect import flow, task

@task
def stage(i): pass

@flow
def pipeline():
    for i in range({n}): stage(i)

pipeline()
"""
PLAIN_LOOP = """
import importlib, shlex, yaml
for name, stage in yaml.safe_load(open("dvc.yaml"))["stages"].items():
    words = shlex.split(stage["cmd"])
    importlib.import_module(words[2]).main(words[3:])
"""


class Cost(NamedTuple):
    """Seconds on the clock, and of the processor with all child processes."""

    wall: float
    process: float


def measure(command: list[str], directory: Path) -> Cost:
    """Cost of a command."""
    started = time.perf_counter()
    with (directory / ".output").open("wb") as output:
        process = subprocess.Popen(command, cwd=directory, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command} failed:\n{(directory / '.output').read_text()}")
    return Cost(time.perf_counter() - started, usage.ru_utime + usage.ru_stime)


class Bench:
    """Runs things in turns and prints what they cost."""

    def __init__(self, rounds: int) -> None:
        self.rounds = rounds
        self.figures: dict[str, dict[str, float]] = {}

    def compare(self, title: str, limit: float, by: str, **ways: Callable[[], Cost]) -> None:
        """Compare two ways; `limit` is what the first may cost over the second."""
        costs: dict[str, list[Cost]] = {name: [] for name in ways}
        for _ in range(self.rounds):
            for name, way in ways.items():
                costs[name].append(way())
        for unit in dict.fromkeys((by, "wall", "process")):
            medians = {
                name: statistics.median(getattr(cost, unit) for cost in taken)
                for name, taken in costs.items()
            }
            ours, theirs = medians.values()
            ratio = ours / theirs
            self.figures[f"{title} ({unit})"] = {**medians, "ratio": ratio}
            spent = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in medians.items())
            verdict = f", at most {limit}: {'ok' if ratio <= limit else 'MISSED'}" if unit == by else ""
            print(f"{title}: {spent} ({unit}); ratio {ratio:.2f}{verdict}", flush=True)


def repository(root: Path, stages: dict[str, object]) -> Path:
    """Make a repository of the given stages."""
    root.mkdir()
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        subprocess.run(command, cwd=root, check=True)
    (root / "source.txt").write_text("a\n")
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    return root


def chain(n: int) -> dict[str, object]:
    """`n` stages one after the other."""
    names = ["source.txt", *(f"{i}.txt" for i in range(n))]
    return {
        f"s{i}": {"cmd": f"cp {names[i]} {names[i + 1]}", "deps": [names[i]], "outs": [names[i + 1]]}
        for i in range(n)
    }


def emptied(root: Path, command: list[str]) -> Callable[[], Cost]:
    """A way to run `command` where nothing was made yet."""

    def way() -> Cost:
        for name in CLEAN:
            path = root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        subprocess.run(["git", "clean", "-fdXq", "-e", "!.venv"], cwd=root, check=True)
        return measure(command, root)

    return way


@contextmanager
def server(home: Path) -> Iterator[None]:
    """A Prefect server, for this process and its children."""
    port = free_port()
    os.environ.update(
        PREFECT_HOME=str(home),
        PREFECT_API_URL=f"http://127.0.0.1:{port}/api",
        PREFECT_SERVER_ANALYTICS_ENABLED="false",
        DO_NOT_TRACK="1",
        DVC_NO_ANALYTICS="1",
    )
    from flows._server import answers

    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not answers(os.environ["PREFECT_API_URL"]):
            time.sleep(0.2)
        yield
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


RUN, REPRO = ["lockstep", "run"], ["dvc", "repro"]


def nothing(bench: Bench, work: Path) -> None:
    """Nothing to do; no server is asked."""
    for n in (9, 100):
        root = repository(work / f"nothing-{n}", chain(n))
        measure(REPRO, root)
        bench.compare(
            f"nothing to do, {n} stages",
            1.05,
            "process",
            lockstep=partial(measure, RUN, root),
            dvc=partial(measure, REPRO, root),
        )


def trivial(bench: Bench, work: Path) -> None:
    """Nine trivial stages, beside nine trivial tasks of a plain Prefect flow."""
    root = repository(work / "trivial", chain(9))
    plain = [sys.executable, "-c", PLAIN_PREFECT.format(n=9)]
    flow = [
        sys.executable,
        "-c",
        "import asyncio\nfrom flows.lifecycle import lifecycle\nasyncio.run(lifecycle())",
    ]
    empty = emptied(root, RUN)
    bench.compare(
        "9 trivial stages, from empty", 1.15, "wall", lockstep=empty, prefect=lambda: measure(plain, root)
    )
    bench.compare(
        "9 trivial stages, unchanged, as a flow run",
        1.0,
        "wall",
        lockstep=lambda: measure(flow, root),
        prefect=lambda: measure(plain, root),
    )


def parallel(bench: Bench, work: Path) -> None:
    """A hundred independent stages of a second each."""
    stages: dict[str, object] = {
        f"s{i}": {"cmd": f"sleep 1; cp source.txt {i}.txt", "deps": ["source.txt"], "outs": [f"{i}.txt"]}
        for i in range(100)
    }
    root = repository(work / "parallel", stages)
    bench.compare(
        "100 stages of a second, 2 jobs",
        0.62,
        "wall",
        lockstep=emptied(root, [*RUN, "--jobs", "2"]),
        dvc=emptied(root, REPRO),
    )


def _project(work: Path, *, small: bool) -> Path:
    from tests.conftest import copy_project, set_up_keys, shrink

    os.environ.setdefault("LOCKSTEP_KEYRING", str(work / "keyring.json"))
    os.environ.setdefault("LOCKSTEP_REGISTRY", str(work / "registry"))
    root = copy_project(work / ("slice" if small else "table"))
    if small:
        shrink(root)
    set_up_keys(root)
    # Neither `dvc repro` nor the loop pushes.
    params = (root / "params.yaml").read_text()
    (root / "params.yaml").write_text(re.sub(r"(?m)^remote: \w+", "remote: null", params))
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    return root


def slice_of_table(bench: Bench, work: Path) -> None:
    """The default pipeline on a fiftieth of its rows and one epoch: fixed costs show."""
    root = _project(work, small=True)
    bench.compare(
        "small pipeline, from empty", 0.85, "wall", lockstep=emptied(root, RUN), dvc=emptied(root, REPRO)
    )


def whole_table(bench: Bench, work: Path) -> None:
    """The default pipeline, beside a plain loop over its `main` functions."""
    root = _project(work, small=False)
    loop = emptied(root, [sys.executable, "-c", PLAIN_LOOP])
    bench.compare("default pipeline, from empty", 1.10, "wall", lockstep=emptied(root, RUN), loop=loop)


PARTS = {
    "nothing": nothing,
    "trivial": trivial,
    "parallel": parallel,
    "slice": slice_of_table,
    "table": whole_table,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=["nothing", "trivial"], choices=PARTS)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    # It slows every start of Python down.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    bench = Bench(args.rounds)
    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        with server(work / "prefect"):
            for part in args.parts:
                PARTS[part](bench, work)
    print(json.dumps(bench.figures, indent=2))


if __name__ == "__main__":
    main()
