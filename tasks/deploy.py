"""Stage `deploy`, the one with side effects: a candidate that passed its gates becomes the champion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from lockstep.bundle.contents import Bundle
from lockstep.bundle.decision import DECISION_SCHEMA, Decision
from lockstep.bundle.digest import content_digest
from lockstep.bundle.manifest import InputColumn, Manifest
from lockstep.bundle.registry import NAME, Registry, registry_root
from lockstep.bundle.scorer import MODEL_SCHEMA
from lockstep.bundle.verify import check_in_fresh_process, sample_answers
from lockstep.data.encoding import ENCODER_SCHEMA, Encoder
from lockstep.data.tables import SCHEMA, from_parquet
from lockstep.errors import LockstepError, NotPromoted
from lockstep.evaluation.card.page import render
from lockstep.evaluation.gate_words import what_it_is
from lockstep.evaluation.gates import describe, require_consistent, worst
from lockstep.sealing.vault import open_vault
from tasks._approvals import overrides, parse_approvals, read_approvals, refused
from tasks._card import CardParams, asked_beside, document, lineage
from tasks._champion import COMPARISON, ChampionParams, Rows, compare
from tasks._params import key, load_params
from tasks._provenance import figures_of, records
from tasks._recorded import require_recorded
from tasks._stage import arguments, command, measured, read_report, to_json, write_report

_LOCK = Path("dvc.lock")
"""For the card in the bundle, and to refuse altered reports: no output depends on it."""


class DeployParams(CardParams, ChampionParams):
    section = "deploy"

    name: str = key("deploy.name", pattern=NAME)


class Deployment(NamedTuple):
    bundle: Bundle
    report: dict[str, Any]


def run(
    encoder: bytes,
    model: bytes,
    rule: Decision,
    candidate: str,
    evaluation: Mapping[str, Any],
    approvals: Sequence[Any],
    params: DeployParams,
    comparison: Mapping[str, Any] | None = None,
) -> Deployment:
    """Decide whether the candidate may be promoted, and make its bundle.

    Parameters
    ----------
    encoder, model
        Plain bytes of the candidate.
    rule
        How it decides.
    candidate
        `content_digest` of all three.
    evaluation
        Report of `evaluate`: ``candidate``, ``verdict``, ``gates``, ``metrics`` with the decision
        ``threshold`` of two classes, and the target's ``labels``.
    approvals
        Entries of approvals.json.
    comparison
        Of `compare`: its gates count as those of the evaluation do.

    Returns
    -------
    Deployment
        The bundle, and a report of content facts: what neither a clock nor the registry's state changes.

    Raises
    ------
    NotPromoted
        A gate did not pass and no approval covers that, or the evaluation judges another candidate.
    ReportAltered
        A verdict does not follow from its figure and threshold.
    """
    approved = parse_approvals(approvals)
    require_judged(evaluation, candidate, rule, params)
    verdict, gates, metrics = (evaluation[part] for part in ("verdict", "gates", "metrics"))
    beside = [] if comparison is None else comparison["gates"]
    if standing := refused([*gates, *beside], candidate, approved):
        raise NotPromoted(_explain(standing, comparison))
    fitted = Encoder.from_json(encoder)
    manifest = Manifest(
        project=params.project,
        name=params.name,
        target=params.target,
        positive=params.positive,
        negative=None
        if params.positive is None
        else _negative(evaluation.get("labels", ()), params.positive),
        threshold=rule.threshold,
        classes=fitted.classes,
        columns=_columns(fitted, rule),
        candidate=candidate,
        verdict=verdict,
        gates=tuple(gates),
        metrics=metrics,
        override=overrides([*gates, *beside], candidate, approved),
        comparison=comparison,
    )
    # Without what hangs on the registry: each clone has its own.
    report = {
        "candidate": candidate,
        "verdict": verdict,
        "override": overrides(gates, candidate, approved),
    }
    return Deployment(Bundle(manifest, encoder, model, rule.content()), report)


def require_judged(
    evaluation: Mapping[str, Any], candidate: str, rule: Decision, params: DeployParams
) -> None:
    """Refuse an evaluation of another candidate, or one that was altered; the arguments are those of `run`."""
    try:
        judged, _, _, metrics = (evaluation[part] for part in ("candidate", "verdict", "gates", "metrics"))
        threshold = None if params.positive is None else float(metrics["threshold"])
    except KeyError as missing:
        raise NotPromoted(
            f"The evaluation has no {missing}. Run `evaluate` again: `dvc repro -f evaluate`."
        ) from None
    if judged != candidate or rule.threshold != threshold:
        raise NotPromoted("The evaluation judges another candidate than the one to deploy. Run `dvc repro`.")
    require_consistent(evaluation, "The evaluation")


def _columns(encoder: Encoder, rule: Decision) -> tuple[InputColumn, ...]:
    features = {column.name for column in encoder.columns}
    inputs = dict.fromkeys((*encoder.inputs, *rule.sensitive))
    return tuple(InputColumn(name, kind, sensitive=name not in features) for name, kind in inputs)


def _negative(labels: Sequence[str], positive: str) -> str:
    others = [label for label in labels if label != positive]
    return others[0] if len(others) == 1 else f"not {positive}"


def _explain(gates: Sequence[Mapping[str, Any]], comparison: Mapping[str, Any] | None) -> str:
    verdict = worst(gate["verdict"] for gate in gates)
    lines = [
        f"The candidate was not promoted: its verdict is {verdict!r}. The registry stays as it was.",
        *(line for gate in gates for line in (f"  {describe(gate)}", f"    {what_it_is(gate)}")),
    ]
    remedy = "Improve the model, or review evaluate.gates and deploy.champion in params.yaml."
    if comparison and comparison["not_compared"]:
        lines.append(f"The champion has no answers to the test rows: {comparison['not_compared']}")
        if all(gate in comparison["gates"] for gate in gates):
            remedy = "Give it what it asks for, or let the candidate replace it all the same."
    return "\n".join([*lines, f"{remedy} `lockstep approve --reason WHY` overrides a gate under your name."])


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments(
        "deploy", argv, "encoder", "model", "decision", "test", "predictions", "evaluation", "approvals", "key-id",
        "registry", "report",
        several=["reports"],
    )  # fmt: skip
    params = load_params(DeployParams, args.params)
    with measured("deploy", args.report) as figures:
        vault = open_vault(params.project, args.key_id)
        encoder = vault.read(args.encoder, role="encoder", schema=ENCODER_SCHEMA)
        model = vault.read(args.model, role="model", schema=MODEL_SCHEMA)
        rule = Decision.from_json(vault.read(args.decision, role="decision", schema=DECISION_SCHEMA))
        candidate = content_digest(vault, encoder, model, rule.content())
        evaluation, approvals = read_report(args.evaluation), read_approvals(args.approvals)
        reports = {str(path): _read_bytes(path) for path in (*args.reports, args.evaluation)}
        lock = _LOCK.read_bytes() if _LOCK.is_file() else None
        # DVC has recorded what is upstream; by hand, or by `dvc repro -s`, nobody else would look.
        require_recorded(
            {**reports, str(args.predictions): _read_bytes(args.predictions)}, str(args.evaluation), lock
        )
        require_judged(evaluation, candidate, rule, params)
        rows = Rows(
            from_parquet(vault.read(args.test, role="debiased-test", schema=SCHEMA)),
            from_parquet(vault.read(args.predictions, role="predictions", schema=SCHEMA)),
        )
        registry = Registry(registry_root(args.registry), params.name)
        champion = registry.pointer()
        comparison = compare(registry, candidate, Encoder.from_json(encoder).classes, rows, params)
        write_report(COMPARISON, comparison or {})
        deployment = run(encoder, model, rule, candidate, evaluation, approvals, params, comparison)
        # For the card in the bundle alone, as dvc.lock is.
        reports |= asked_beside(args.report.parent, candidate)
        before = {stage: record for stage, record in records().items() if stage != "deploy"}
        card = document(
            {**reports, str(args.report): to_json(deployment.report)},
            params,
            before,
            lineage(
                lock,
                args.key_id.read_text().strip(),
                {**before, "deploy": figures},
                figures["run"]["git_revision"],
            ),
            comparison,
            deployment.bundle.manifest.override,
        )
        bundle = replace(
            deployment.bundle,
            manifest=_with_surroundings(deployment.bundle.manifest, before),
            documents={"model_card.html": render(card), "model_card.json": to_json(card)},
        )
        expected = sample_answers(bundle)
        promotion = registry.publish(
            bundle, vault, lambda directory: check_in_fresh_process(directory, expected), champion
        )
        write_report(args.report, deployment.report)
    print(f"{params.name} version {promotion.version} ({promotion.how}) is deployed: {promotion.directory}")


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise LockstepError(f"{path} does not exist. Run the stages before this one: `dvc repro`.") from None


def _with_surroundings(manifest: Manifest, before: Mapping[str, Any]) -> Manifest:
    """Add what a clock, git or the host tells, and no output may hold; null where it is unknown."""
    return replace(
        manifest,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        git_revision=before.get("train", {}).get("run", {}).get("git_revision"),
        measured=figures_of(before) or None,
    )


if __name__ == "__main__":
    command(main)
