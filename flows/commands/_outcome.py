"""What became of the candidate of the last run, in a person's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flows.commands.approve import APPROVALS


def outcome(root: Path, evaluation: Mapping[str, Any]) -> Iterator[str]:
    """Yield the verdict, the gates that did not pass, which bundle is served, and what to do next.

    Parameters
    ----------
    evaluation
        Report of `evaluate`.
    """
    from flows.commands.serving import champion, champion_directory
    from lockstep.evaluation.gate_words import what_it_is
    from lockstep.evaluation.gates import describe
    from tasks._approvals import approval_of, parse_approvals, read_approvals, refused

    candidate, gates = evaluation["candidate"], evaluation["gates"]
    approvals = parse_approvals(read_approvals(root / APPROVALS))
    yield f"Verdict: {evaluation['verdict']}"
    for gate in gates:
        if gate["verdict"] != "pass":
            approval = approval_of(gate, candidate, approvals)
            yield f"  {describe(gate)}{f'; approved by {approval.by}' if approval else ''}"
            yield f"    {what_it_is(gate)}"
    served = champion()
    where = f"{served.name} version {served.version}, {champion_directory()}" if served else ""
    is_served = served is not None and served.candidate == candidate
    if refused(gates, candidate, approvals):
        if is_served:
            yield f"It would not be deployed now. It is the champion already, and stays: {where}"
        else:
            yield f"It is not deployed. {f'The champion stays: {where}' if served else 'No champion was found.'}"
        yield (
            "Next:    improve the model and `lockstep run`; or `lockstep approve --reason WHY`, then `lockstep run`, "
            "which deploys it under your name"
        )
    elif is_served:
        yield f"Bundle:  {champion_directory()}"
    else:
        yield "It is not deployed yet. " + (
            f"The champion is {where}" if served else "No champion was found."
        )
        yield "Next:    `lockstep deploy`"
