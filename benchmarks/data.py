"""What the stages cost by the table's size, and the first ones beside a script of one's own.

`python -m benchmarks.data sizes TABLE...` measures wall time, processor time and peak memory of each stage, each
in a process of its own (of its children the largest, where that is larger); imports count in the memory and not in the
times. Tables come from `benchmarks.make_table`.
With `--stages` it goes on to those that hold their rows in memory: `resample`, `train` and `compress`, each after those
before it.

`python -m benchmarks.data script` sets each stage beside `benchmarks.by_hand`, which does the same unsealed, in
processor time and memory, turn by turn; `python -m benchmarks.data ratio` sets `validate` beside Great Expectations
alone on the whole table in one frame, within one process. All need `make run` before.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from lockstep.sealing.keyring import set_up_keys

STAGES = ("validate", "encrypt", "split", "debias")
IN_MEMORY = ("resample", "train", "compress")
CENSUS = Path("data/raw/census.parquet")
SUITE = Path("data/expectations.json")

_MEASURED = """
import importlib, json, resource, sys, time
from pathlib import Path
stage, by_hand, argv = sys.argv[1], sys.argv[2] == "by hand", sys.argv[3:]
module = importlib.import_module("benchmarks.by_hand" if by_hand else f"tasks.{stage}")
import pandas, pyarrow.parquet
if stage == "validate":
    import great_expectations
    great_expectations.get_context(mode="ephemeral")
if stage in ("train", "compress"):
    import tensorflow, keras, sklearn.metrics
if stage == "debias":
    import fairlearn.metrics, scipy.stats, sklearn.linear_model, sklearn.model_selection, sklearn.preprocessing
def memory(what):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(what))
imports, wall, cpu = memory("VmRSS"), time.perf_counter(), time.process_time()
if by_hand:
    getattr(module, stage)(*map(Path, argv))
else:
    module.main(argv)
child = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
print(json.dumps({"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu,
    "imports": imports, "peak": max(memory("VmHWM"), child)}))
"""


def sizes(tables: list[Path], stages: Sequence[str], epochs: int | None) -> None:
    """Print time and peak memory of each stage for each table."""
    print(
        "| stage | rows | seconds | cpu seconds | peak MiB | beyond imports |\n| --- | --- | --- | --- | --- | --- |"
    )
    for table in tables:
        rows = pq.ParquetFile(table).metadata.num_rows
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder), rows, epochs)
            for stage in stages:
                figures = measure(stage, Path(folder), table)
                print(
                    f"| {stage} | {rows:,} | {figures['seconds']:.1f} | {figures['cpu']:.1f} | {figures['peak']:.0f} | "
                    f"{figures['peak'] - figures['imports']:.0f} |",
                    flush=True,
                )


def prepare(folder: Path, rows: int, epochs: int | None = None) -> None:
    """A project whose suite takes that many rows, and which is trained for so many epochs."""
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    if epochs is not None:
        params["train"]["epochs"] = epochs
    (folder / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")
    os.environ["LOCKSTEP_KEYRING"] = str(folder / "keyring.json")
    set_up_keys(params["project"], folder / "lockstep.key-id")
    suite = json.loads(SUITE.read_text(encoding="utf-8"))
    for expectation in suite["expectations"]:
        if expectation["type"] == "expect_table_row_count_to_be_between":
            expectation["kwargs"] = {"min_value": rows, "max_value": rows}
    for part in ("data/split", "data/debiased", "data/resampled", "models", "reports"):
        (folder / part).mkdir(parents=True)
    (folder / SUITE).write_text(json.dumps(suite), encoding="utf-8")


def measure(stage: str, folder: Path, table: Path) -> dict[str, float]:
    """Run a stage of dvc.yaml on `table` in a process of its own, in `folder`."""
    command = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["stages"][stage]["cmd"]
    argv = [str(table.resolve()) if word == str(CENSUS) else word for word in shlex.split(command)[3:]]
    return _measured(folder, stage, "stage", *argv)


def _measured(folder: Path, *arguments: str) -> dict[str, float]:
    finished = subprocess.run(
        [sys.executable, "-c", _MEASURED, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise SystemExit(finished.stderr)
    return dict(json.loads(finished.stdout.splitlines()[-1]))


def script(rounds: int = 3) -> None:
    """Print each stage's processor time and memory beside those of the script by hand; medians."""
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    table = CENSUS.resolve()
    by_hand = {"validate": [str(table), str(SUITE)], "encrypt": [str(table)]}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            prepare(Path(folder), pq.ParquetFile(table).metadata.num_rows)
            for stage in STAGES:
                figures = {
                    "stage": measure(stage, Path(folder), table),
                    "by hand": _measured(Path(folder), stage, "by hand", *by_hand.get(stage, [])),
                }
                for who, of in figures.items():
                    found.setdefault((stage, who), []).append(of)
    memory = pq.read_table(table).to_pandas().memory_usage(deep=True).sum() / 2**20
    print(f"The table takes {memory:.0f} MiB as a pandas frame.")
    print("| stage | cpu seconds | by hand | ratio | peak MiB beyond imports | by hand | of the frame |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for stage in STAGES:
        cpu, hand = (statistics.median(f["cpu"] for f in found[stage, who]) for who in ("stage", "by hand"))
        peak, other = (
            statistics.median(f["peak"] - f["imports"] for f in found[stage, who])
            for who in ("stage", "by hand")
        )
        print(
            f"| {stage} | {cpu:.2f} | {hand:.2f} | {cpu / hand:.2f} | {peak:.0f} | {other:.0f} | {peak / memory:.1f} |"
        )


def ratio(rounds: int = 5) -> None:
    """Print how the stage's processor time compares with that of Great Expectations alone."""
    params = yaml.safe_load(Path("params.yaml").read_text(encoding="utf-8"))
    seconds: dict[str, list[float]] = {"stage": [], "alone": []}
    contestants: dict[str, Callable[[], None]] = {"stage": lambda: _stage(params), "alone": _alone}
    for turn in range(rounds + 1):
        for name, run in contestants.items():
            started = time.process_time()
            run()
            if turn:
                seconds[name].append(time.process_time() - started)
    stage, alone = (statistics.median(seconds[name]) for name in ("stage", "alone"))
    print(f"validate {stage:.2f} s, Great Expectations alone {alone:.2f} s: {stage / alone:.2f}")


def _stage(params: dict[str, Any]) -> None:
    from lockstep.data.batches import open_batches
    from lockstep.data.expectations import parse_suite
    from tasks.validate import ValidateParams, run

    suite = parse_suite(SUITE.read_bytes(), str(SUITE))
    chosen = ValidateParams(
        target=params["data"]["target"],
        min_category_rows=params["data"]["min_category_rows"],
        suite_parameters=params["validate"]["suite_parameters"],
    )
    with open_batches(CENSUS, lambda _: "") as (table, _):
        run(table, suite, chosen)


def _alone() -> None:
    from benchmarks.by_hand import validate

    validate(CENSUS, SUITE, Path(os.devnull))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["sizes", "script", "ratio"])
    parser.add_argument("tables", nargs="*", type=Path)
    parser.add_argument(
        "--stages",
        nargs="+",
        choices=(*STAGES, *IN_MEMORY),
        default=STAGES,
        help="of `sizes`, in this order",
    )
    parser.add_argument("--epochs", type=int, help="of `train`; without it those of params.yaml")
    options = parser.parse_args()
    if options.what == "ratio":
        ratio()
    elif options.what == "script":
        script()
    else:
        sizes(options.tables or [CENSUS], options.stages, options.epochs)


if __name__ == "__main__":
    main()
