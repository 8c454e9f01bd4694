"""The model card of the workspace, and of another run that Git holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flows._champion import comparison
from flows._recorded import EVALUATION, lock_of, require_genuine
from flows._worktree import git
from lockstep.errors import UsageError
from lockstep.evaluation.card.comparison import render_comparison
from lockstep.evaluation.card.page import render
from lockstep.files import write_atomic
from tasks._approvals import load_approvals, overrides, parse_approvals
from tasks._card import CardParams, document, lineage
from tasks._params import load_params, parse_document, parse_params
from tasks._provenance import git_revision, records
from tasks._stage import to_json

REPORTS = Path("reports")
PAGE = REPORTS / "model_card.html"
COMPARISON = Path(".lockstep/report/comparison.html")
_PARAMS = "params.yaml"
_APPROVALS = "approvals.json"
_DOCUMENT = REPORTS / "model_card.json"
_WORKSPACE = "workspace"


def write_card(root: Path) -> Path:
    """Write the card of the workspace `root`, as a page and as JSON; return the page's path.

    Raises
    ------
    UsageError
        Nothing was evaluated yet.
    LockstepError
        A report or params.yaml cannot be read, or a report is not what its stage wrote.
    """
    card = _of_workspace(root)
    write_atomic(root / _DOCUMENT, to_json(card))
    write_atomic(root / PAGE, render(card))
    return root / PAGE


def write_comparison(root: Path, other: str) -> Path:
    """Write the workspace beside `other`, an experiment's name or a Git revision; return the page's path.

    Raises
    ------
    UsageError
        There is no such run, or it was not evaluated.
    LockstepError
        A report or params.yaml cannot be read, or a report is not what its stage wrote.
    """
    page = render_comparison((_of_workspace(root), _of_revision(root, other)), (_WORKSPACE, other))
    write_atomic(root / COMPARISON, page)
    return root / COMPARISON


def _of_workspace(root: Path) -> dict[str, Any]:
    paths = [path for suffix in ("*.json", "*.tsv") for path in (root / REPORTS).glob(suffix)]
    reports = {str(path.relative_to(root)): path.read_bytes() for path in paths if path != root / _DOCUMENT}
    _require_evaluation(reports, "The workspace has", "Run `lockstep run` first.")
    recorded = records(root)
    lock, key_id = lock_of(root), root / "lockstep.key-id"
    evaluation = require_genuine(reports, lock)
    beside, approvals = comparison(root, _candidate(evaluation)), root / _APPROVALS
    return document(
        reports,
        load_params(CardParams, root / _PARAMS),
        recorded,
        lineage(lock, key_id.read_text().strip() if key_id.is_file() else None, recorded, git_revision(root)),
        beside,
        _approved(evaluation, beside, approvals.read_bytes() if approvals.is_file() else None),
    )


def _of_revision(root: Path, name: str) -> dict[str, Any]:
    revision = _resolve(root, name)
    found = git(root, "ls-tree", "-r", "--name-only", "-z", revision).split("\0")
    held = {path: Path(path) for path in found if path}
    reports = {
        path: git(root, "show", f"{revision}:./{path}").encode()
        for path, place in held.items()
        if place.parent == REPORTS and place.suffix in (".json", ".tsv")
    }
    _require_evaluation(reports, f"{name!r} has", "Commit reports/ with the runs that you want to compare.")
    lock, key_id, params, approvals = (
        git(root, "show", f"{revision}:./{path}").encode() if path in held else None
        for path in ("dvc.lock", "lockstep.key-id", _PARAMS, _APPROVALS)
    )
    evaluation = require_genuine(reports, lock, f" of {name!r}")
    origin = f"{_PARAMS} of {name!r}"
    return document(
        reports,
        parse_params(CardParams, parse_document(params or b"", origin), origin),
        {},
        lineage(lock, key_id.decode().strip() if key_id else None, {}, revision),
        None,
        _approved(evaluation, None, approvals),
    )


def _approved(
    evaluation: Mapping[str, Any], beside: Mapping[str, Any] | None, approvals: bytes | None
) -> list[dict[str, Any]] | None:
    if approvals is None:
        return None
    known = parse_approvals(load_approvals(approvals, _APPROVALS))
    gates = [*evaluation["gates"], *(beside or {}).get("gates", ())]
    return overrides(gates, _candidate(evaluation), known)


def _candidate(evaluation: Mapping[str, Any]) -> str:
    # A stage of one's own in the place of `evaluate` may name none: nothing was approved then, or compared.
    return str(evaluation.get("candidate", ""))


def _resolve(root: Path, name: str) -> str:
    """Commit of an experiment, or of a Git revision."""
    # So DVC names them: by the commit that they start from, cut in two.
    named = f"refs/exps/*/*/{name}"
    experiments = git(root, "for-each-ref", "--sort=-creatordate", "--format=%(objectname)", named).split()
    if experiments:
        return experiments[0]
    try:
        return git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}").strip()
    except UsageError:
        raise UsageError(
            f"{name!r} is neither an experiment nor a Git revision. `dvc exp show` lists the experiments."
        ) from None


def _require_evaluation(reports: Mapping[str, bytes], who: str, remedy: str) -> None:
    if EVALUATION not in reports:
        raise UsageError(f"{who} no {EVALUATION}. {remedy}")
