"""The card's section on privacy: what attacks find, and what training promises."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lockstep.charts import chart
from lockstep.evaluation.card.blocks import Block, Document, Picture, facts, table_of, words
from lockstep.evaluation.card.cells import Number
from lockstep.evaluation.gate_words import in_unit

_NO_LIRA = (
    "LiRA, the strongest attack known, was not run on this model: it trains networks of its own. `lockstep attack` "
    "runs it."
)


def privacy(document: Document) -> Iterator[Block]:
    """Membership inference by what `evaluate` and `lockstep attack` found, and the promise of differential privacy."""
    reports = document["reports"]
    found = (reports.get("evaluation") or {}).get("membership")
    if found:
        yield from _membership(found)
    candidate = (reports.get("evaluation") or {}).get("candidate")
    if (lira := reports.get("lira")) and lira["candidate"] == candidate:
        yield from _lira(lira)
    elif found:
        yield _NO_LIRA
    train = reports.get("train") or {}
    if "differential_privacy" in train:
        yield from _promise(train["differential_privacy"])


def _membership(found: Mapping[str, Any]) -> Iterator[Block]:
    share = in_unit("percent", found["false_positive_rate"])
    rows = f"{found['n_members']:,} training rows and {found['n_others']:,} test rows, each unlike every training row"
    if "attacks" not in found:
        yield f"Too few rows to tell how many members an attack finds at a false positive rate of {share}: {rows}."
        return
    judged = found["judged"]
    yield (
        "An attacker who has a row and its label guesses whether the model was trained on it. Chance finds "
        f"{share} of the members at a false positive rate of {share}. Tried on {rows}, its own twin left aside. "
        "Calibrated loss is the loss beside that of a logistic regression fitted on the validation rows."
    )
    attacks = [{"attack": words(name), **_named(figures)} for name, figures in found["attacks"].items()]
    yield table_of(f"Members found at a false positive rate of {share}", "attack", attacks)
    yield _picture(f"Membership inference by {words(judged)}", found["attacks"][judged]["roc"])
    for feature, of_feature in found["by_group"].items():
        groups = [{"group": name, **_named(figures)} for name, figures in of_feature["groups"].items()]
        if groups:
            yield table_of(f"Members found by {words(feature)}, {words(judged)}", "group", groups)
        if of_feature["left_out"]:
            yield f"Groups of {words(feature)} too small to tell: {', '.join(of_feature['left_out'])}."


def _lira(lira: Mapping[str, Any]) -> Iterator[Block]:
    plain = {key: value for key, value in lira.items() if key not in ("attack", "gates", "candidate")}
    yield facts("LiRA, the likelihood-ratio attack", {**plain, **_shown(lira["attack"])})
    yield _picture("Membership inference by LiRA", lira["attack"]["roc"])


def _named(figures: Mapping[str, Any]) -> dict[str, Any]:
    """What is found as the gates show it, in percent, and the rest as it is."""
    found = (
        f"{in_unit('percent', figures['true_positive_rate'])}\n({in_unit('percent', *figures['interval'])})"
    )
    rest = {
        key: value for key, value in _shown(figures).items() if key not in ("true_positive_rate", "interval")
    }
    return {"training rows found (95 % interval)": Number(found), **rest}


def _shown(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if name != "roc"}


def _picture(title: str, roc: list[dict[str, float]]) -> Picture:
    line = [(point["false_positive_rate"], point["true_positive_rate"]) for point in roc]
    line = [(x, y) for x, y in line if y > 0.0]
    ends = [(roc[0]["false_positive_rate"],) * 2, (1.0, 1.0)]
    x, y = "false positive rate", "true positive rate"
    drawn = chart(title, x, y, line=line, guide=ends, log=True, log_y=True)
    return Picture(drawn, f"{title}: chance is the dashed line, and what lies above it was found")


def _promise(promise: Mapping[str, Any] | None) -> Iterator[Block]:
    if promise is None:
        yield "Training made no promise of differential privacy (train.dp_noise_multiplier is 0)."
        return
    yield facts("Differential privacy of training", {k: v for k, v in promise.items() if k != "not_covered"})
    yield f"The promise does not cover: {'; '.join(promise['not_covered'])}."
