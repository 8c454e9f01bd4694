"""Two runs side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lockstep.evaluation.card.blocks import Document, Section, Table, words
from lockstep.evaluation.card.gates import gates_table
from lockstep.evaluation.card.page import page
from lockstep.evaluation.card.sections import report

_Pair = tuple[Document, Document]


def render_comparison(documents: _Pair, names: tuple[str, str]) -> bytes:
    """The page of two documents that are called `names`."""
    lines = [
        (f"Verdict of {name}", report(document, "evaluation").get("verdict"))
        for name, document in zip(names, documents, strict=True)
    ]
    parts = [
        Section("Gates", [_gates(documents, names)]),
        Section("Metrics", [_numbers("Figures on the test rows", documents, names, _figures)]),
        Section("Groups", [_numbers("Rates and differences", documents, names, _groups)]),
        Section("Cost", [_numbers("Size and time", documents, names, _costs)]),
        Section("Parameters", [_parameters(documents, names)]),
        Section("Use", [_use(documents, names)]),
        *(
            Section(f"Gates of {name}", [gates_table(report(document, "evaluation")["gates"])])
            for name, document in zip(names, documents, strict=True)
            if report(document, "evaluation")
        ),
    ]
    kept = [
        section
        for section in parts
        if any(block.rows for block in section.blocks if isinstance(block, Table))
    ]
    return page(f"{names[0]} beside {names[1]}", lines, kept, documents[0]["created"])


def numbers(value: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield each number below `value` with the keys that lead to it."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from numbers(part, f"{prefix}, {words(key)}" if prefix else words(key))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield prefix, value


def _gates(documents: _Pair, names: tuple[str, str]) -> Table:
    found = [
        {gate["gate"]: gate["verdict"] for gate in report(document, "evaluation").get("gates", ())}
        for document in documents
    ]
    gates = dict.fromkeys((*found[0], *found[1]))
    rows = [(words(gate), found[0].get(gate), found[1].get(gate)) for gate in gates]
    return Table("Verdicts", ("gate", *names), rows, open=True)


def _numbers(caption: str, documents: _Pair, names: tuple[str, str], part: Any) -> Table:
    left, right = (dict(numbers(part(document))) for document in documents)
    rows = [
        (
            name,
            left.get(name),
            right.get(name),
            right[name] - left[name] if name in left and name in right else "",
        )
        for name in dict.fromkeys((*left, *right))
    ]
    return Table(caption, ("figure", *names, "change"), rows)


def _figures(document: Document) -> Any:
    return report(document, "evaluation").get("metrics", {})


def _groups(document: Document) -> Any:
    return {
        feature: {
            "groups": audited.get("groups", {}),
            **{name: found["figure"] for name, found in audited.get("evidence", {}).items()},
        }
        for feature, audited in report(document, "evaluation").get("fairness", {}).items()
    }


def _costs(document: Document) -> Any:
    compress = report(document, "compress")
    shipped = compress.get("candidates", {}).get(compress.get("shipped"), {})
    return {
        "parameters": report(document, "train").get("parameters"),
        "bytes": shipped.get("bytes"),
        "epochs": report(document, "train").get("epochs"),
    }


def _use(documents: _Pair, names: tuple[str, str]) -> Table:
    left, right = (document["card"] for document in documents)
    rows = [(words(name), said, right[name]) for name, said in left.items() if said != right[name]]
    return Table("What the owners say differently in params.yaml", ("fact", *names), rows)


def _parameters(documents: _Pair, names: tuple[str, str]) -> Table:
    left, right = (document["lineage"].get("parameters") or {} for document in documents)
    rows = [
        (name, str(left.get(name, "")), str(right.get(name, "")))
        for name in sorted({*left, *right})
        if left.get(name) != right.get(name)
    ]
    return Table("Parameters that differ, as dvc.lock records them", ("parameter", *names), rows)
