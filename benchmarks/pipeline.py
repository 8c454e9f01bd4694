"""The figures of the default run, as the README shows them: `make run`, then `python -m benchmarks.pipeline`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

STAGES = (
    "sample",
    "validate",
    "encrypt",
    "split",
    "debias",
    "resample",
    "train",
    "compress",
    "evaluate",
    "deploy",
)


def _read(path: str) -> dict[str, Any]:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def main() -> None:
    evaluation, compression = _read("reports/evaluation.json"), _read("reports/compress.json")
    unseen = evaluation["unseen"]
    print(
        f"| test rows | {evaluation['n_test']:,} (all) | {unseen['n_test']:,} (unseen) |\n| --- | --- | --- |"
    )
    for name in ("roc_auc", "average_precision", "error_rate", "brier"):
        low, high = evaluation["intervals"].get(name, (None, None))
        interval = "" if low is None else f" ({low:.4f} to {high:.4f})"
        print(f"| {name} | {evaluation['metrics'][name]:.4f}{interval} | {unseen['metrics'][name]:.4f} |")
    print("\n| gate | figure | 95 % interval | threshold | verdict |\n| --- | --- | --- | --- | --- |")
    for gate in evaluation["gates"]:
        interval = "" if gate["interval"] is None else "{:.3f} to {:.3f}".format(*gate["interval"])
        figure = "" if gate["figure"] is None else f"{gate['figure']:.3f}"
        bound = f"{gate['direction']} {gate['threshold']}"
        print(f"| {gate['gate']} | {figure} | {interval} | {bound} | {gate['verdict']} |")
    latency = _read(".lockstep/measured/compress.json")["microseconds_per_row"]
    print("\n| model | bytes | average precision (validation) | one row |\n| --- | --- | --- | --- |")
    for name, figures in compression["candidates"].items():
        shipped = " (ships)" if name == compression["shipped"] else ""
        precision = figures["validation"]["average_precision"]
        print(f"| {name}{shipped} | {figures['bytes']:,} | {precision:.4f} | {latency[name]:.1f} us |")
    print("\n| stage | seconds |\n| --- | --- |")
    for stage in STAGES:
        print(f"| {stage} | {_read(f'.lockstep/measured/{stage}.json')['seconds']:.1f} |")


if __name__ == "__main__":
    main()
