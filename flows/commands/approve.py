"""`lockstep approve`: an audited override of gates that did not pass."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands._project import project_root
from lockstep.errors import UsageError

APPROVALS = Path("approvals.json")
_EVALUATION = Path("reports/evaluation.json")


def approve(
    reason: Annotated[str, typer.Option(help="Why this candidate may be promoted all the same.")],
    gates: Annotated[
        list[str] | None, typer.Argument(help="Gates to approve; by default each one that did not pass.")
    ] = None,
) -> None:
    """Let the evaluated candidate be promoted in spite of gates that did not pass, under your name."""
    from lockstep.files import write_atomic
    from tasks._approvals import Approval, parse_approvals, read_approvals
    from tasks._stage import read_report, to_json

    root = project_root()
    if not reason.strip():
        raise UsageError("--reason is empty. Say why: whoever audits the model reads it.")
    evaluation = read_report(root / _EVALUATION)
    kept = read_approvals(root / APPROVALS)
    parse_approvals(kept)
    by, at = _who(root), datetime.now(UTC).isoformat(timespec="seconds")
    made = [
        Approval(
            candidate=evaluation["candidate"],
            gate=gate["gate"],
            verdict=gate["verdict"],
            figure=gate["figure"],
            threshold=gate["threshold"],
            reason=reason,
            by=by,
            at=at,
        )
        for gate in _to_approve(evaluation["gates"], gates or [])
    ]
    write_atomic(root / APPROVALS, to_json([*kept, *(approval.model_dump() for approval in made)]))
    for approval in made:
        print(f"{approval.gate} ({approval.verdict}) is approved by {by}.")
    print(f"Next: commit {APPROVALS}, then `lockstep run`, which deploys the candidate.")


def _to_approve(gates: list[dict[str, Any]], wanted: list[str]) -> list[dict[str, Any]]:
    open_gates = {gate["gate"]: gate for gate in gates if gate["verdict"] != "pass"}
    if not open_gates:
        raise UsageError("Every gate passed: there is nothing to approve.")
    unknown = [name for name in wanted if name not in open_gates]
    if unknown:
        raise UsageError(f"No gate to approve: {', '.join(unknown)}. There are: {', '.join(open_gates)}.")
    return [open_gates[name] for name in wanted or open_gates]


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
