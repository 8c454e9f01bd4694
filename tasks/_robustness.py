"""How the model that ships holds out when `evaluate` perturbs its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from lockstep.bundle.decision import Decision
from lockstep.bundle.scorer import Scorer
from lockstep.data.labels import labels_of
from lockstep.data.plausible import Plausible, Raw
from lockstep.data.tables import raw_columns
from lockstep.evaluation.gates import Gate, judge, no_evidence
from lockstep.evaluation.robustness.accidents import missing, noise, swapped
from lockstep.evaluation.robustness.curves import Baseline
from lockstep.evaluation.robustness.fgsm import fgsm
from lockstep.evaluation.robustness.flips import flips
from lockstep.evaluation.robustness.pgd import pgd
from lockstep.evaluation.robustness.recoding import Recoder
from lockstep.evaluation.robustness.surface import Surface
from lockstep.models.slopes import Slopes
from lockstep.progress import track
from tasks._decision import DecisionParams, named_groups
from tasks._explanations import Explained, drawn
from tasks._params import Section, key
from tasks._predictions import Answers

Amount = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
Codes = npt.NDArray[np.int64]
Attack = Callable[[Surface, float, np.random.Generator], npt.NDArray[np.float64]]

GATE = "robustness"
SHIFTED, _FLIPS = "shifted", "flips"
_ACCIDENTS = {"noise": noise, "missing": missing, "swapped": swapped}
_ATTACKS: dict[str, Attack] = {"fgsm": lambda surface, strength, rng: fgsm(surface, strength), "pgd": pgd}
_KINDS = (*_ACCIDENTS, *_ATTACKS, _FLIPS)


class Strengths(Section):
    """Strengths at which each perturbation is measured; that of its gate is one more."""

    noise: list[Amount]
    missing: list[Share]
    swapped: list[Share]
    fgsm: list[Amount]
    pgd: list[Amount]
    flips: list[Annotated[int, Field(ge=1)]]
    shifted: list[Amount]


class RobustnessParams(DecisionParams):
    """What of params.yaml the perturbations read."""

    bootstrap_samples: int = key("evaluate.bootstrap_samples", ge=100)
    explained_rows: int = key("evaluate.explained_rows", ge=1)
    robustness: Strengths = key("evaluate.robustness")


def withstand(
    scorer: Scorer,
    network: bytes,
    train: pa.Table,
    rows: pa.Table,
    public: Mapping[str, Sequence[str]],
    params: RobustnessParams,
    rule: Decision,
) -> Explained:
    """Perturb a sample of `rows`, and judge what the model that ships makes of them.

    Parameters
    ----------
    scorer
        The model that ships, which encodes each perturbed row as it would any other.
    network
        The float network, which an adversary knows; `lockstep.models.saving` wrote it.
    train
        Training rows as no sampler touched them: what a column may plausibly hold.
    rows
        Rows to perturb.
    public
        Categories by column that a report may name.
    rule
        How a row gets a class.
    """
    numbers = drawn(len(rows), params.explained_rows, params.seed)
    # Of all rows: those that are drawn may be of one class.
    codes = labels_of(rows, params.target, params.positive, scorer.encoder.classes).codes[numbers]
    chosen = rows.take(numbers)
    if len(np.unique(codes)) < 2:
        return Explained({}, tuple(_gate(kind, [], len(codes), params) for kind in _KINDS))
    table = raw_columns(chosen, [column.name for column in (*scorer.encoder.inputs, *rule.sensitive)])
    plausible = Plausible.fit(train, [column.name for column in scorer.encoder.columns])
    recoder = Recoder(scorer.encoder, table)

    def answers(rows: Raw) -> tuple[npt.NDArray[np.float64], Codes]:
        probability = scorer.score(recoder.encode(rows))
        return probability, rule.codes(probability, rows, scorer.encoder.encode)

    baseline = Baseline(codes, *answers(table), params.bootstrap_samples, params.seed)
    curves: dict[str, list[dict[str, Any]]] = {kind: [] for kind in _KINDS}
    kept: dict[str, Answers] = {}
    wanted = sum(len(_strengths(kind, params)) for kind in curves)
    with track("perturbations", wanted) as advance:
        for kind, strength, perturbed in _perturbed(scorer, network, table, codes, plausible, params):
            answered = answers(perturbed)
            curves[kind].append({"strength": strength, **baseline.beside(*answered)})
            kept[f"{kind}:{strength:g}"] = Answers(numbers, *answered)
            advance()
    shifted = _shifted(baseline, chosen, public, params)
    gates = [_gate(kind, points, len(codes), params) for kind, points in curves.items()]
    if params.sensitive:
        gates.append(_gate(SHIFTED, shifted, len(codes), params))
    report = {
        "n_rows": len(codes),
        "n_amounts": len(plausible.amounts),
        "n_choices": len(plausible.choices),
        "unperturbed": baseline.figures(),
        "curves": curves,
        SHIFTED: shifted,
    }
    return Explained({GATE: report}, tuple(gates), kept)


def _perturbed(
    scorer: Scorer, network: bytes, table: Raw, codes: Codes, plausible: Plausible, params: RobustnessParams
) -> Iterator[tuple[str, float, Raw]]:
    """Yield each perturbation's name and strength, and the rows that it makes."""
    for kind, accident in _ACCIDENTS.items():
        for strength in _strengths(kind, params):
            # From the same draws, so that a curve shows the strength alone.
            yield kind, strength, accident(table, plausible, strength, np.random.default_rng(params.seed))
    slopes = Slopes(network, params.seed)
    surface = Surface(scorer.encoder, slopes, table, codes, plausible)
    for kind, attack in _ATTACKS.items():
        for strength in _strengths(kind, params):
            moved = attack(surface, strength, np.random.default_rng(params.seed))
            yield kind, strength, surface.table(moved)
    counts = _strengths(_FLIPS, params)
    for count, flipped in enumerate(flips(scorer.encoder, slopes, table, codes, int(counts[-1])), 1):
        if count in counts:
            yield _FLIPS, count, flipped


def _shifted(
    baseline: Baseline, chosen: pa.Table, public: Mapping[str, Sequence[str]], params: RobustnessParams
) -> list[dict[str, Any]]:
    """Figures if a group were more or less frequent than it is; of groups that are large enough to tell."""
    found = []
    for feature, groups in named_groups(chosen, params.sensitive, public, params.min_category_rows).items():
        rows = Counter(groups)
        for name in sorted(group for group, count in rows.items() if count >= params.min_group_rows):
            for odds in _strengths(SHIFTED, params):
                figures = baseline.reweighed(groups == name, odds)
                found.append({"feature": feature, "group": name, "strength": odds, **figures})
    return found


def _strengths(kind: str, params: RobustnessParams) -> list[float]:
    return sorted({*getattr(params.robustness, kind), getattr(params.gates.robustness, kind).at})


def _gate(kind: str, points: Sequence[Mapping[str, Any]], n_rows: int, params: RobustnessParams) -> Gate:
    """Judge the largest loss of `points` at the strength of the gate."""
    tolerated = getattr(params.gates.robustness, kind)
    at_strength = [point for point in points if point["strength"] == tolerated.at]
    told = [point for point in at_strength if point["lost"] is not None]
    name = f"{GATE}:{kind}"
    if not told:
        return replace(no_evidence(name, tolerated.loss, n_rows, ()), at=tolerated.at)
    worst = max(told, key=lambda point: float(point["lost"]))
    judged = judge(name, worst["lost"], worst["lost_interval"], tolerated.loss, "at most", n_rows)
    return replace(judged, at=tolerated.at)
