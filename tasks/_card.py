"""Collects what a run left behind into the document of its model card."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path, PurePath
from typing import Any

from lockstep.errors import LockstepError
from tasks._params import Params, key
from tasks._provenance import figures_of

FORMAT = "lockstep-card/1"


class CardParams(Params):
    """What the card says of the model beside its figures; null is a visible blank."""

    section = "card"

    project: str = key("project")
    target: str = key("data.target")
    positive: str | None = key("data.positive")
    name: str = key("deploy.name")
    intended_use: str | None = key("card.intended_use")
    out_of_scope: str | None = key("card.out_of_scope")
    owner: str | None = key("card.owner")
    contact: str | None = key("card.contact")


def document(
    reports: Mapping[str, bytes],
    params: CardParams,
    records: Mapping[str, Any],
    lineage: Mapping[str, Any],
    comparison: Mapping[str, Any] | None,
    override: Sequence[Mapping[str, Any]] | None,
) -> dict[str, Any]:
    """The card's document.

    Parameters
    ----------
    reports
        Content of each report, JSON or TSV, by its path.
    records
        Of `tasks._provenance.records`.
    lineage
        Of `lineage`.
    comparison
        With the champion; None where there was none.
    override
        Of `tasks._approvals.overrides`.
    """
    parsed = {PurePath(path).stem: _parse(path, content) for path, content in sorted(reports.items())}
    return {
        "format": FORMAT,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": {
            "name": params.name,
            "project": params.project,
            "target": params.target,
            "positive": params.positive,
        },
        "card": {
            "intended_use": params.intended_use,
            "out_of_scope": params.out_of_scope,
            "owner": params.owner,
            "contact": params.contact,
        },
        "reports": parsed,
        "comparison": comparison,
        "override": override,
        "measured": figures_of(records),
        "lineage": {
            "candidate": (parsed.get("evaluation") or {}).get("candidate"),
            **lineage,
        },
    }


def lineage(
    lock: bytes | None, key_id: str | None, records: Mapping[str, Any], revision: str | None
) -> dict[str, Any]:
    """Where a run comes from; null where that is unknown.

    Parameters
    ----------
    lock
        Content of dvc.lock.
    records
        Of `tasks._provenance.records`.
    revision
        Commit at which the workspace stands as the card is made.
    """
    from ruamel.yaml import YAML

    # DVC writes YAML 1.2, in which 1e-06 is a number.
    recorded = YAML(typ="safe", pure=True).load(lock) if lock else None
    stages = recorded.get("stages", {}) if isinstance(recorded, dict) else {}
    artifacts, parameters = {}, {}
    for name, stage in stages.items():
        for out in stage.get("outs", ()):
            artifacts[out["path"]] = {"stage": name, "md5": out.get("md5"), "bytes": out.get("size")}
        for values in stage.get("params", {}).values():
            parameters.update(dict(_flat(values)))
    return {
        "runs": _runs(
            {name: records[name]["run"] for name in (*stages, *records) if "run" in records.get(name, {})}
        ),
        "not_recorded": [name for name in stages if name not in records],
        "revision_of_the_card": revision,
        "key_id": key_id,
        "artifacts": artifacts or None,
        "parameters": dict(sorted(parameters.items())) or None,
    }


def _runs(of_stages: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Commit and libraries, each once, with the stages that ran with them."""
    found: list[tuple[Any, list[str]]] = []
    for stage, run in of_stages.items():
        for other, stages in found:
            if other == run:
                stages.append(stage)
                break
        else:
            found.append((run, [stage]))
    return [{"stages": stages, **run} for run, stages in found]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def asked_beside(directory: Path, candidate: str) -> dict[str, bytes]:
    """Reports on `candidate` that no stage writes, by path: what a person had found out about it, where anybody had."""
    paths = [directory / name for name in ("lira.json", "learning_curve.json")]
    found = {str(path): path.read_bytes() for path in paths if path.is_file()}
    return {
        path: content
        for path, content in found.items()
        if _parse(path, content).get("candidate") == candidate
    }


def _parse(path: str, content: bytes) -> Any:
    broken = LockstepError(f"{path} cannot be read as a report. Delete it and run `dvc repro`.")
    if not content.endswith(b"\n"):
        raise broken
    try:
        if path.endswith(".tsv"):
            rows = csv.DictReader(io.StringIO(content.decode()), delimiter="\t")
            return [{name: json.loads(value) for name, value in row.items()} for row in rows]
        return json.loads(content)
    except (ValueError, TypeError):
        raise broken from None
