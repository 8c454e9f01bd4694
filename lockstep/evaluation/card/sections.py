"""The sections of the card, in their order: each gives its blocks of a document, none where it has nothing to say.

A report that no section names gets one of its own, and so does a part of the evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from lockstep.charts import bars, chart
from lockstep.evaluation.card.architecture import architecture
from lockstep.evaluation.card.blocks import (
    Block,
    Document,
    Picture,
    Section,
    facts,
    of_any,
    table_of,
    title,
    words,
)
from lockstep.evaluation.card.compliance import checklist
from lockstep.evaluation.card.data import data
from lockstep.evaluation.card.fairness import fairness
from lockstep.evaluation.card.gates import gates
from lockstep.evaluation.card.learning import learning
from lockstep.evaluation.card.lineage import lineage
from lockstep.evaluation.card.metrics import metrics
from lockstep.evaluation.card.privacy import privacy
from lockstep.evaluation.card.robustness import robustness

_Make = Callable[[Document], Iterable[Block]]

_SHOWN_REPORTS = {
    "validate", "split", "debias", "resample", "train", "training", "compress", "evaluation", "metrics", "roc", "pr",
    "deploy", "lira", "learning_curve",
}  # fmt: skip
_SHOWN_PARTS = {
    "candidate", "verdict", "gates", "metrics", "intervals", "n_test", "labels", "unseen", "fairness",
    "explanations", "alternatives", "reliability", "robustness", "membership", "threshold",
}  # fmt: skip
_MOST_DRAWN = 10


def sections(document: Document) -> list[Section]:
    """Every section that has something to say."""
    made = []
    for name, make in _SECTIONS:
        if name is _REST:
            made += _rest(document)
        elif blocks := list(make(document)):
            made.append(Section(name, blocks))
    return made


def report(document: Document, name: str) -> Any:
    """A stage's report; an empty one where it is not here."""
    return document["reports"].get(name) or {}


def _use(document: Document) -> Iterator[Block]:
    yield facts("Said by its owner in params.yaml", document["card"])


def _model(document: Document) -> Iterator[Block]:
    train = report(document, "train")
    if not train:
        return
    if "network" in train:
        drawn = architecture(
            train["network"], len(train["features"]), report(document, "compress").get("shipped")
        )
        yield Picture(
            drawn, "Layers of the network; what is dropped in training passes everything when it scores."
        )
    yield from of_any(
        "Training",
        {
            key: part
            for key, part in train.items()
            if key not in ("features", "network", "differential_privacy")
        },
    )
    yield facts("Columns that the network reads", {"features": train["features"]})


def _curves(document: Document) -> Iterator[Block]:
    yield from _reliability(document)
    for name, what, x, y, guide in (
        ("roc", "ROC curve", "false_positive_rate", "true_positive_rate", [(0.0, 0.0), (1.0, 1.0)]),
        ("pr", "Precision-recall curve", "recall", "precision", []),
    ):
        points = report(document, name)
        if points and x in points[0]:
            line = [(point[x], point[y]) for point in points]
            yield Picture(chart(what, words(x), words(y), line=line, guide=guide), f"{what} on the test rows")
        elif points:
            yield from of_any(what, points)


def _reliability(document: Document) -> Iterator[Block]:
    bins = report(document, "evaluation").get("reliability")
    if bins:
        dots = [(found["mean_probability"], found["share"]) for found in bins]
        drawn = chart(
            "Reliability",
            "mean probability",
            "share that came true",
            dots=dots,
            guide=[(0.0, 0.0), (1.0, 1.0)],
        )
        yield Picture(drawn, "Reliability on the test rows: a calibrated model's bins lie on the dashed line")


def _explanations(document: Document) -> Iterator[Block]:
    found = report(document, "evaluation").get("explanations", {})
    columns = found.get("columns", {})
    most = sorted(columns.items(), key=lambda item: -item[1]["mean_absolute_shap"])
    whole = sum(figures["mean_absolute_shap"] for figures in columns.values())
    if whole:
        shares = {name: figures["mean_absolute_shap"] / whole for name, figures in most[:_MOST_DRAWN]}
        heading = "Share of the mean absolute SHAP values"
        yield Picture(
            bars(heading, shares), f"{heading}, of the columns that count most for the model that ships"
        )
    if columns:
        yield (
            "A SHAP value is what a column adds to a row's log-odds or takes from them, beside "
            f"{found['n_background']:,} validation rows; its mean without the sign, over "
            f"{found['n_rows_with_shap_values']:,} test rows, is how much the column counts. Permutation importance is "
            f"the average precision that is lost when the column's values are dealt out anew among {found['n_rows']:,} "
            "test rows."
        )
        rows = [{"column": name, **figures} for name, figures in most]
        yield table_of("What the model looks at", "column", rows)


def _robustness(document: Document) -> Iterator[Block]:
    yield from robustness(report(document, "evaluation").get("robustness", {}))


def _alternatives(document: Document) -> Iterator[Block]:
    found = report(document, "evaluation").get("alternatives", ())
    if found:
        yield (
            "Models that a person can read, fitted on the same training rows. The price is the average precision that "
            "shipping one of them would cost, with its 95 % interval by the paired bootstrap of the test rows."
        )
        renamed = {"price_interval": "price_in_average_precision_interval"}
        rows = [{renamed.get(name, name): value for name, value in one.items()} for one in found]
        yield table_of("What a model that a person can read would cost in quality", "model", rows)


def _training(document: Document) -> Iterator[Block]:
    epochs = report(document, "training")
    for figure, what in (
        ("val_average_precision", "Validation average precision"),
        ("loss", "Training loss"),
    ):
        line = [(row["epoch"], row[figure]) for row in epochs or () if figure in row]
        if line:
            yield Picture(chart(what, "epoch", words(figure), line=line, dots=line), f"{what} by epoch")


def _compression(document: Document) -> Iterator[Block]:
    compress = report(document, "compress")
    latency = document["measured"].get("compress", {}).get("microseconds_per_row", {})
    rows = [
        {
            "model": f"{name} (ships)" if name == compress["shipped"] else name,
            "bytes": candidate["bytes"],
            "share of the float size": candidate["size_ratio"],
            **{f"change of {words(key)}": change for key, change in candidate["change"].items()},
            "within tolerance": candidate["within_tolerance"],
            "one row, µs": latency.get(name),
        }
        for name, candidate in compress.get("candidates", {}).items()
    ]
    if rows:
        yield table_of("Formats, judged on the validation rows", "model", rows)


def _cost(document: Document) -> Iterator[Block]:
    train, compress = report(document, "train"), report(document, "compress")
    if train and compress:
        size = compress["candidates"][compress["shipped"]]["bytes"]
        yield facts("Size of the model that ships", {"parameters": train["parameters"], "bytes": size})
    measured = document["measured"]
    cost = measured.get("evaluate", {}).get("cost")
    if cost:
        yield from of_any("Scoring, measured on the machine that ran evaluate", cost)
    stages = [
        {"stage": name, **{key: value for key, value in found.items() if not isinstance(value, dict)}}
        for name, found in measured.items()
    ]
    if stages:
        yield table_of("Stages, on the machine that ran them", "stage", stages)
    else:
        yield (
            "No figure of a clock or a host is here: the outputs came out of DVC's cache or a remote, or the stages "
            "ran on another machine."
        )


def _compliance(document: Document) -> Iterator[Block]:
    yield (
        "What the EU AI Act's technical documentation asks for (Regulation (EU) 2024/1689, Annex IV), as a start. "
        "It is no legal assessment, and not every system is under this duty."
    )
    yield checklist(document)


def _rest(document: Document) -> list[Section]:
    """What no section names."""
    unknown = {
        **{name: part for name, part in report(document, "evaluation").items() if name not in _SHOWN_PARTS},
        **{name: part for name, part in document["reports"].items() if name not in _SHOWN_REPORTS},
    }
    made = [Section(title(name), list(of_any(name, part))) for name, part in unknown.items()]
    return [section for section in made if section.blocks]


_REST = "(whatever else was reported)"
_SECTIONS: tuple[tuple[str, _Make], ...] = (
    ("Gates", gates),
    ("Intended use", _use),
    ("Metrics", metrics),
    ("Fairness", fairness),
    ("Robustness", _robustness),
    ("Privacy", privacy),
    ("Explanations", _explanations),
    ("Interpretable alternatives", _alternatives),
    ("Curves", _curves),
    ("Data", data),
    ("Model", _model),
    (_REST, lambda document: ()),
    ("Training curve", _training),
    ("Learning curve", learning),
    ("Compression", _compression),
    ("Cost", _cost),
    ("Lineage", lineage),
    ("Compliance checklist", _compliance),
)
