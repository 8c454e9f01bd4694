"""approvals.json: who let a gate that did not pass be overridden, for which candidate, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import StringConstraints, ValidationError

from lockstep.errors import LockstepError, NotPromoted
from tasks._params import Section

Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Approval(Section):
    """An override of one gate as it stood.

    Attributes
    ----------
    candidate
        Digest of the candidate; no other one is approved.
    gate, verdict, figure, threshold
        What was approved. The same gate with another figure or threshold needs an approval of its own.
    reason, by, at
        Why, by whom, and when (UTC, ISO 8601).
    """

    candidate: Text
    gate: Text
    verdict: Literal["fail", "insufficient evidence"]
    figure: float | None
    threshold: float
    reason: Text
    by: Text
    at: Text

    def covers(self, gate: Mapping[str, Any], candidate: str) -> bool:
        """Whether it is about this outcome of a gate."""
        approved = (self.candidate, self.gate, self.verdict, self.figure, self.threshold)
        return approved == (candidate, gate["gate"], gate["verdict"], gate.get("figure"), gate["threshold"])


def approval_of(gate: Mapping[str, Any], candidate: str, approvals: Sequence[Approval]) -> Approval | None:
    """The approval of this outcome of a gate; None where there is none."""
    return next((approval for approval in approvals if approval.covers(gate, candidate)), None)


def refused(
    gates: Sequence[Mapping[str, Any]], candidate: str, approvals: Sequence[Approval]
) -> list[Mapping[str, Any]]:
    """The gates that keep `candidate` from being promoted: neither passed nor approved."""
    return [
        gate for gate in gates if gate["verdict"] != "pass" and not approval_of(gate, candidate, approvals)
    ]


def overrides(
    gates: Sequence[Mapping[str, Any]], candidate: str, approvals: Sequence[Approval]
) -> list[dict[str, Any]] | None:
    """The approvals that these gates needed, for a report; None where they needed none."""
    needed = [approval for approval in approvals if any(approval.covers(gate, candidate) for gate in gates)]
    return [
        approval.model_dump(include={"gate", "verdict", "reason", "by", "at"}) for approval in needed
    ] or None


def read_approvals(path: Path) -> list[Any]:
    """The entries of approvals.json; raises LockstepError where it cannot be read."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise LockstepError(f"{path} does not exist. Write [] into it: no approvals.") from None
    return load_approvals(content, str(path))


def load_approvals(content: bytes, origin: str) -> list[Any]:
    """The entries of an approvals.json; raises LockstepError where it holds something else."""
    try:
        approvals = json.loads(content)
    except ValueError:
        raise LockstepError(f"{origin} is no JSON. Write [] into it: no approvals.") from None
    if not isinstance(approvals, list):
        raise LockstepError(f"{origin} must hold a list. Write [] into it: no approvals.")
    return approvals


def parse_approvals(entries: Sequence[Any]) -> list[Approval]:
    """Typed approvals; raises NotPromoted where an entry lacks something, such as a reason."""
    try:
        return [Approval.model_validate(entry) for entry in entries]
    except ValidationError as error:
        fields = sorted({str(problem["loc"][0]) for problem in error.errors() if problem["loc"]})
        wrong = f" Wrong or missing: {', '.join(fields)}." if fields else ""
        raise NotPromoted(
            f"approvals.json is a list of objects with {', '.join(sorted(Approval.model_fields))}.{wrong} "
            "`lockstep approve` writes them; correct it, or leave []."
        ) from None
