"""What became of the candidate of the last run, in a person's words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flows.commands._project import is_demo
from flows.commands.approve import APPROVALS

_USE = (
    ". .venv/bin/activate",
    "lockstep up       the Prefect UI, and a nightly run",
    "lockstep serve    scores over HTTP",
    "lockstep predict TABLE --out scores.parquet.sealed",
)
_BEGIN = ("lockstep init TABLE --target COL --sensitive A,B    your own table",)
_PROMOTE = ("lockstep deploy    makes it the champion",)
_IMPROVE = (
    "improve the model, or review evaluate.gates and deploy.champion in params.yaml; then `lockstep run`",
    "or let it pass under your name: `lockstep approve --reason WHY`; then `lockstep run`, which deploys it",
)
_BRING = (
    "insufficient evidence: bring more rows, or review split.test_share and evaluate.min_group_rows in params.yaml",
)


class Outcome(NamedTuple):
    """Lines for a person: what came of it, and what to do next."""

    told: list[str]
    steps: tuple[str, ...]


def outcome(root: Path, evaluation: Mapping[str, Any]) -> Outcome:
    """The verdict, the gates that did not pass, and which bundle is served.

    Parameters
    ----------
    evaluation
        Report of `evaluate`.
    """
    from flows.commands.serving import champion, champion_directory
    from lockstep.evaluation.gate_words import what_it_is
    from lockstep.evaluation.gates import describe, worst
    from tasks._approvals import approval_of, parse_approvals, read_approvals, refused
    from tasks._champion import read_comparison

    candidate = evaluation["candidate"]
    comparison = read_comparison(root, candidate)
    gates = [*evaluation["gates"], *(comparison["gates"] if comparison else ())]
    approvals = parse_approvals(read_approvals(root / APPROVALS))
    told = [f"Verdict: {worst(gate['verdict'] for gate in gates)}"]
    for gate in gates:
        if gate["verdict"] != "pass":
            approval = approval_of(gate, candidate, approvals)
            told.append(f"  {describe(gate)}{f'; approved by {approval.by}' if approval else ''}")
            told.append(f"    {what_it_is(gate)}")
    if comparison and comparison["not_compared"]:
        told.append(f"  The champion has no answers to the test rows: {comparison['not_compared']}")
    served = champion()
    where = f"{served.name} version {served.version}, {champion_directory()}" if served else ""
    stays = f"The champion stays: {where}" if served else "No champion was found."
    # One candidate may be deployed with two thresholds.
    is_served = (
        served is not None
        and served.candidate == candidate
        and served.threshold in (None, evaluation["metrics"].get("threshold"))
    )
    if standing := refused(gates, candidate, approvals):
        now = (
            f"It would not be deployed now. It is the champion already, and stays: {where}"
            if is_served
            else f"It is not deployed. {stays}"
        )
        lacking = any(gate["verdict"] == "insufficient evidence" for gate in standing)
        return Outcome([*told, now], (*_IMPROVE, *(_BRING if lacking else ())))
    if is_served:
        return Outcome(
            [*told, f"Bundle:  {champion_directory()}"], (*_USE, *(_BEGIN if is_demo(root) else ()))
        )
    return Outcome([*told, f"It is not deployed yet. {stays}"], _PROMOTE)
