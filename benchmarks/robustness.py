"""What perturbed validation rows cost the model of this workspace: python -m benchmarks.robustness (after `make run`).

The thresholds of `evaluate.gates.robustness` were set by these figures; no test row is read for them.
"""

from __future__ import annotations

import time
from typing import Any

from flows.commands._project import stage_arguments
from tasks._robustness import SHIFTED, withstand
from tasks.evaluate import arguments_of, read_inputs, rule_of


def main() -> None:
    read = read_inputs(arguments_of(stage_arguments("evaluate")))
    rule = rule_of(read)
    started = time.perf_counter()
    found = withstand(
        read.scorer, read.network, read.train, read.validation, read.public, read.params, rule
    ).report["robustness"]
    seconds = time.perf_counter() - started
    print(f"{found['n_rows']:,} validation rows, {seconds:.1f} s\n")
    print("| perturbation | strength | average precision | ROC AUC | changed decisions | lost |")
    print("| --- | --- | --- | --- | --- | --- |")
    print(
        f"| none | | {found['unperturbed']['average_precision']:.4f} | {found['unperturbed']['roc_auc']:.4f} | | |"
    )
    for kind, points in found["curves"].items():
        for point in points:
            print(_row(kind, point, f"{point['changed_decisions']:.4f}"))
    for point in found[SHIFTED]:
        print(_row(f"{point['feature']} {point['group']}", point, ""))


def _row(kind: str, point: dict[str, Any], changed: str) -> str:
    low, high = point["lost_interval"]
    cells = [
        kind,
        f"{point['strength']:g}",
        f"{point['average_precision']:.4f}",
        f"{point['roc_auc']:.4f}",
        changed,
        f"{point['lost']:.3f} ({low:.3f} to {high:.3f})",
    ]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
