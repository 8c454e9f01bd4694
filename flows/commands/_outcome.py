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
_COMPARE = (
    "lockstep deploy    compares it with the champion, and makes it the champion unless it is behind",
)
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
    from flows._champion import champion, champion_directory, comparison
    from lockstep.evaluation.gate_words import what_it_is
    from lockstep.evaluation.gates import describe, worst
    from tasks._approvals import approval_of, parse_approvals, read_approvals, refused

    candidate = evaluation["candidate"]
    beside = comparison(root, candidate)
    gates = [*evaluation["gates"], *(beside["gates"] if beside else ())]
    approvals = parse_approvals(read_approvals(root / APPROVALS))
    told = [f"Verdict: {worst(gate['verdict'] for gate in gates)}"]
    for gate in gates:
        if gate["verdict"] != "pass":
            approval = approval_of(gate, candidate, approvals)
            told.append(f"  {describe(gate)}{f'; approved by {approval.by}' if approval else ''}")
            told.append(f"    {what_it_is(gate)}")
    if beside and beside["not_compared"]:
        told.append(f"  The champion has no answers to the test rows: {beside['not_compared']}")
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
        # A champion without answers would have none to more rows.
        lacking = any(g["verdict"] == "insufficient evidence" for g in standing if g in evaluation["gates"])
        return Outcome([*told, now], (*_IMPROVE, *(_BRING if lacking else ())))
    if is_served:
        return Outcome(
            [*told, f"Bundle:  {champion_directory()}"], (*_USE, *(_BEGIN if is_demo(root) else ()))
        )
    steps = _COMPARE if served and not beside else _PROMOTE
    return Outcome([*told, f"It is not deployed yet. {stays}"], steps)
