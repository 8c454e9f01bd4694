"""`lockstep approve`: an audited override of gates that did not pass."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands._project import project_root
from lockstep.errors import UsageError

APPROVALS = Path("approvals.json")


def approve(
    reason: Annotated[str, typer.Option(help="Why this candidate may be promoted all the same.")],
    gates: Annotated[
        list[str] | None,
        typer.Argument(
            help="Gates to approve, as results or the card name them; by default each one that did not pass."
        ),
    ] = None,
) -> None:
    """Let the evaluated candidate be promoted in spite of gates that did not pass, under your name."""
    from flows._champion import comparison
    from flows._recorded import read_evaluation
    from lockstep.files import write_atomic
    from tasks._approvals import Approval, approval_of, parse_approvals, read_approvals, refused
    from tasks._stage import to_json

    root = project_root()
    if not reason.strip():
        raise UsageError("--reason is empty. Say why: whoever audits the model reads it.")
    evaluation = read_evaluation(root)
    candidate = evaluation["candidate"]
    beside = comparison(root, candidate) or {}
    gates_of = [*evaluation["gates"], *beside.get("gates", ())]
    kept = read_approvals(root / APPROVALS)
    known = parse_approvals(kept)
    wanted = _to_approve(gates_of, gates or [])
    for gate in wanted:
        if found := approval_of(gate, candidate, known):
            print(f"{gate['gate']} ({gate['verdict']}) is approved already, by {found.by}.")
    by, at = _who(root), datetime.now(UTC).isoformat(timespec="seconds")
    made = [
        Approval(
            candidate=candidate,
            gate=gate["gate"],
            verdict=gate["verdict"],
            figure=gate["figure"],
            threshold=gate["threshold"],
            reason=reason,
            by=by,
            at=at,
        )
        for gate in wanted
        if not approval_of(gate, candidate, known)
    ]
    if made:
        write_atomic(root / APPROVALS, to_json([*kept, *(approval.model_dump() for approval in made)]))
    for approval in made:
        print(f"{approval.gate} ({approval.verdict}) is approved by {by}.")
    if left := refused(gates_of, candidate, [*known, *made]):
        print(f"Not approved yet: {', '.join(gate['gate'] for gate in left)}.")
    else:
        print(f"Next: commit {APPROVALS}, then `lockstep run`, which deploys the candidate.")


def _to_approve(gates: list[dict[str, Any]], wanted: list[str]) -> list[dict[str, Any]]:
    from lockstep.evaluation.card.blocks import words

    # The card speaks of "equalized odds difference, race".
    open_gates = {words(gate["gate"]): gate for gate in gates if gate["verdict"] != "pass"}
    if not open_gates:
        raise UsageError("Every gate passed: there is nothing to approve.")
    unknown = [name for name in wanted if words(name) not in open_gates]
    if unknown:
        there_are = ", ".join(gate["gate"] for gate in open_gates.values())
        raise UsageError(f"No gate to approve: {', '.join(unknown)}. There are: {there_are}.")
    return [open_gates[name] for name in dict.fromkeys(map(words, wanted)) or open_gates]


def _who(root: Path) -> str:
    """Name and address of the person, as Git would put them under a commit."""
    from flows._worktree import git

    try:
        identity = git(root, "var", "GIT_AUTHOR_IDENT")
    except UsageError:
        raise UsageError(
            "Git does not know who you are, and an approval bears a name. `git config user.name NAME` and "
            "`git config user.email ADDRESS`."
        ) from None
    return identity[: identity.rindex(">") + 1]
