"""The card's section on data: rows, what tells of the sensitive features, what was done about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lockstep.evaluation.card.blocks import Block, Document, Table, facts, of_any, table_of, title, words
from lockstep.evaluation.card.cells import Number
from lockstep.evaluation.gate_words import in_unit

_MOST_ASSOCIATED = 10
_TOLD = (
    "How well a sensitive feature can be told from the other columns, as ROC AUC of a model that tries (0.5: not at "
    "all, 1: always), with its 95 % interval."
)
_WHEN = ("before", "after")
_OWN_TABLES = ("associations", "features", "labels_by_group", "predictability", "predictability_left")


def data(document: Document) -> Iterator[Block]:
    """The source, its parts, and what debiasing and resampling made of them."""
    reports = document["reports"]
    if validate := reports.get("validate"):
        yield from of_any("Source table", {key: value for key, value in validate.items() if key != "results"})
    yield from _parts(reports.get("split") or {})
    debias = reports.get("debias") or {}
    yield from of_any("Debiasing", {key: part for key, part in debias.items() if key not in _OWN_TABLES})
    yield from _labels(debias.get("labels_by_group") or {})
    yield from _told(debias)
    resample = reports.get("resample") or {}
    yield from of_any("Resampling", {key: part for key, part in resample.items() if key not in _WHEN})
    counts = {when: resample[when] for when in _WHEN if when in resample}
    yield from of_any("Training rows before and after resampling", counts)


def _parts(split: Mapping[str, Any]) -> Iterator[Block]:
    parts = {name: part for name, part in split.items() if isinstance(part, dict) and "n_rows" in part}
    if parts:
        yield table_of("Rows by part", "part", [{"part": name, **part} for name, part in parts.items()])
    plain = {name: part for name, part in split.items() if not isinstance(part, dict)}
    if plain:
        yield facts("How the rows were split", plain)
    for name, part in split.items():
        if name not in parts and name not in plain:
            yield from of_any(name, {title(key): value for key, value in part.items()})


def _labels(by_feature: Mapping[str, Any]) -> Iterator[Block]:
    groups = [
        {"groups by": words(feature), "group": name, **found}
        for feature, labels in by_feature.items()
        for name, found in labels["groups"].items()
    ]
    if all("positive_share" in found for found in groups):
        rows = [
            (one["groups by"], one["group"], one["n_rows"], Number(in_unit("percent", one["positive_share"])))
            for one in groups
        ]
        if rows:
            columns = ("groups by", "group", "training rows", "positive labels")
            yield Table("Labels of the training rows by group, before any model", columns, rows)
    else:
        yield from of_any("Labels of the training rows by group", by_feature)


def _told(debias: Mapping[str, Any]) -> Iterator[Block]:
    found = {}
    if at_first := debias.get("predictability"):
        left = debias.get("predictability_left")
        # Without the second no column went or changed but the sensitive ones, which are not asked.
        found = {"before": at_first, "after": left} if left else {"before and after": at_first}
    if found:
        yield _TOLD
        rows = [
            {"sensitive feature": words(feature), "debiasing": when, **_named(of_feature["together"])}
            for when, features in found.items()
            for feature, of_feature in features.items()
        ]
        yield table_of("A sensitive feature told from all columns together", "sensitive feature", rows)
        for when, features in found.items():
            for feature, of_feature in features.items():
                most = sorted(of_feature["by_feature"].items(), key=lambda item: -item[1]["roc_auc"])
                caption = f"{words(feature)} told from one column alone, {when} debiasing"
                yield table_of(
                    caption[:1].upper() + caption[1:],
                    "column",
                    [{"column": name, **_named(one)} for name, one in most],
                )
    if associations := debias.get("associations"):
        most = sorted(associations.items(), key=lambda item: -max(item[1].values(), default=0.0))
        yield table_of(
            "Columns most associated with a sensitive feature (Cramér's V, training rows)",
            "column",
            [{"column": name, **one} for name, one in most[:_MOST_ASSOCIATED]],
        )


def _named(found: Mapping[str, Any]) -> dict[str, Any]:
    return {"roc_auc": found["roc_auc"], "roc_auc_interval": found["interval"]}
