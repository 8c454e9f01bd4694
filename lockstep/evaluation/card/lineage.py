"""The card's section on lineage: the commits and libraries that the stages ran with, and what dvc.lock recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lockstep.evaluation.card.blocks import Block, Document, Table, facts, table_of

_NO_GIT = "unknown: Git knew of none"


def run_of(document: Document, stage: str) -> Mapping[str, Any]:
    """Commit and libraries with which `stage` made what the card is about; empty where that is not recorded."""
    runs = document["lineage"].get("runs") or ()
    return next((run for run in runs if stage in run["stages"]), {})


def lineage(document: Document) -> Iterator[Block]:
    """Where the model comes from."""
    found = document["lineage"]
    named = {"candidate": found.get("candidate"), "key_id": found.get("key_id")}
    yield facts("Where it comes from", {"card_made": document["created"], **named})
    runs = found.get("runs") or ()
    if runs:
        yield from _runs(runs, found.get("revision_of_the_card"))
    lost = ", ".join(found.get("not_recorded") or ())
    if lost or not runs:
        yield (
            f"With which commit and libraries {lost or 'the stages'} ran is not recorded here: the outputs came out of "
            "DVC's cache or a remote, or another program made them. What dvc.lock recorded of them stands below."
        )
    if found.get("artifacts"):
        rows = [{"file": path, **of_file} for path, of_file in found["artifacts"].items()]
        yield table_of("Files recorded in dvc.lock", "file", rows)
    if found.get("parameters"):
        rows = [{"parameter": name, "value": str(value)} for name, value in found["parameters"].items()]
        yield table_of("Parameters recorded in dvc.lock", "parameter", rows)


def _runs(runs: Sequence[Mapping[str, Any]], revision_now: str | None) -> Iterator[Block]:
    stages = [", ".join(run["stages"]) for run in runs]
    commits = [
        (names, run["git_revision"] or _NO_GIT, "" if (c := run["uncommitted_changes"]) is None else c)
        for names, run in zip(stages, runs, strict=True)
    ]
    yield Table(
        "Commits that the stages ran at",
        ("stages", "git revision", "with changes that were not committed"),
        commits,
    )
    if revision_now and revision_now not in [run["git_revision"] for run in runs]:
        yield f"The workspace has moved on since: it stood at {revision_now} when this card was made."
    libraries = dict.fromkeys(name for run in runs for name in run["versions"])
    of_runs = stages if len({str(run["versions"]) for run in runs}) > 1 else ["version"]
    rows = [(name, *(run["versions"].get(name, "") for run in runs[: len(of_runs)])) for name in libraries]
    yield Table("Libraries that the stages ran with", ("library", *of_runs), rows)
