"""What the EU AI Act's technical documentation asks for (Regulation (EU) 2024/1689, Annex IV), and what a run knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lockstep.evaluation.card.blocks import Document, Table
from lockstep.evaluation.card.lineage import run_of
from lockstep.evaluation.gate_words import in_unit

_Answer = Callable[[Document], str | None]


def checklist(document: Document) -> Table:
    """Every point of Annex IV with what the run knows; a blank is for a person to fill."""
    rows = []
    for point, asked, answer in _POINTS:
        known = answer(document)
        rows.append((point, asked, known, _state(point) if known else "to be filled"))
    return Table("Annex IV, point by point", ("point", "asks for", "known", "state"), rows, open=True)


def _state(point: str) -> str:
    return "in part from the run" if point in _IN_PART else "from the run"


def _nothing(document: Document) -> None:
    """Only a person can say it."""


def _part(document: Document, *keys: str) -> Any:
    value: Any = document
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _purpose(document: Document) -> str | None:
    purpose, owner = _part(document, "card", "intended_use"), _part(document, "card", "owner")
    if not purpose:
        return None
    candidate = _part(document, "lineage", "candidate") or "unknown"
    return f"{purpose} Provider: {owner or 'not named'}. Candidate {candidate}."


def _software(document: Document) -> str | None:
    versions = run_of(document, "train").get("versions", {})
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or None


def _form(document: Document) -> str:
    return (
        "A sealed bundle (encoder and LiteRT model) in a registry, served over the Open Inference Protocol."
    )


def _hardware(document: Document) -> str | None:
    latency = _part(document, "measured", "evaluate", "cost", "latency", "1 row", "p50_ms")
    return (
        f"A CPU that LiteRT supports; one row took {latency} ms where it was measured." if latency else None
    )


def _use(document: Document) -> str | None:
    limits = _part(document, "card", "out_of_scope")
    return f"Out of scope: {limits}" if limits else None


def _development(document: Document) -> str:
    return "The stages of dvc.yaml, each recorded in dvc.lock; no pre-trained model is used."


def _design(document: Document) -> str | None:
    train = _part(document, "reports", "train")
    if not train:
        return None
    columns = len(train.get("features", ()))
    return f"A neural network over {columns} columns, chosen by average precision on validation rows."


def _resources(document: Document) -> str | None:
    parameters = _part(document, "reports", "train", "parameters")
    seconds = _part(document, "measured", "train", "seconds")
    if not parameters:
        return None
    return f"{parameters:,} parameters" + (f"; trained in {seconds:,.0f} s." if seconds else ".")


def _data(document: Document) -> str | None:
    split, validate = _part(document, "reports", "split"), _part(document, "reports", "validate")
    if not split or not validate:
        return None
    return (
        f"{validate.get('n_rows', 0):,} rows; {validate.get('n_expectations', 0)} expectations, "
        f"{validate.get('n_failed', 0)} failed. Origin and labelling are for a person to describe."
    )


def _testing(document: Document) -> str | None:
    evaluation = _part(document, "reports", "evaluation")
    if not evaluation:
        return None
    groups = ", ".join(evaluation.get("fairness", ())) or "none"
    return (
        f"{evaluation.get('n_test', 0):,} untouched test rows, {len(evaluation.get('gates', ()))} gates with 95 % "
        f"intervals, verdict: {evaluation.get('verdict')}. Groups: {groups}."
    )


def _security(document: Document) -> str | None:
    key = _part(document, "lineage", "key_id")
    if not key:
        return None
    sealed = f"Tables, models and predictions are sealed (AES-256-GCM) with key {key}."
    membership = _part(document, "reports", "evaluation", "membership") or {}
    if "attacks" not in membership:
        return sealed
    found = membership["attacks"][membership["judged"]]["true_positive_rate"]
    rate = membership["false_positive_rate"]
    return (
        f"{sealed} Membership inference finds {in_unit('percent', found)} of the training rows where "
        f"{in_unit('percent', rate)} of other rows are wrongly accused."
    )


def _functioning(document: Document) -> str | None:
    fairness = _part(document, "reports", "evaluation", "fairness")
    return (
        "Rates of each group stand under Fairness, figures with intervals under Metrics."
        if fairness
        else None
    )


def _changes(document: Document) -> str | None:
    revision = run_of(document, "train").get("git_revision")
    return f"Trained at Git revision {revision}, dvc.lock and the registry's versions." if revision else None


_POINTS: tuple[tuple[str, str, _Answer], ...] = (
    ("1 (a)", "Intended purpose, provider, version", _purpose),
    ("1 (b)", "Interaction with other hardware, software or AI systems", _nothing),
    ("1 (c)", "Versions of relevant software", _software),
    ("1 (d)", "Forms in which it is put into service", _form),
    ("1 (e)", "Hardware on which it is to run", _hardware),
    ("1 (f)", "Illustrations of a product of which it is a component", _nothing),
    ("1 (g)", "The deployer's user interface", _nothing),
    ("1 (h)", "Instructions for use", _use),
    ("2 (a)", "Methods and steps of development, third-party tools", _development),
    ("2 (b)", "Design specifications, key choices and trade-offs", _design),
    ("2 (c)", "Architecture and computational resources", _resources),
    ("2 (d)", "Data: provenance, scope, labelling, cleaning", _data),
    ("2 (e)", "Human oversight (Article 14)", _nothing),
    ("2 (f)", "Pre-determined changes", _nothing),
    ("2 (g)", "Validation and testing, metrics, discriminatory impacts", _testing),
    ("2 (h)", "Cybersecurity", _security),
    ("3", "Capabilities, limits, accuracy for groups, foreseeable risks", _functioning),
    ("4", "Why the performance metrics are appropriate", _nothing),
    ("5", "Risk management system (Article 9)", _nothing),
    ("6", "Changes through the life cycle", _changes),
    ("7", "Harmonised standards applied", _nothing),
    ("8", "EU declaration of conformity", _nothing),
    ("9", "Post-market monitoring plan", _nothing),
)
_IN_PART = {"1 (a)", "1 (h)", "2 (a)", "2 (b)", "2 (c)", "2 (d)", "2 (h)", "3", "6"}
"""Points of which a run knows something, and a person has to add the rest."""
