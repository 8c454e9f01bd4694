"""The candidate against the champion of the registry, on the test rows: what `deploy` asks before it promotes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from lockstep.bundle.contents import Bundle, read_manifest
from lockstep.bundle.registry import Registry
from lockstep.data.labels import labels_of
from lockstep.data.tables import raw_columns, typed_as
from lockstep.errors import LockstepError, ModelError, NotPromoted, RegistryError
from lockstep.evaluation.champion_gates import judge_against, not_comparable
from tasks._params import Params, Section, key
from tasks._predictions import probability_of

COMPARISON = Path(".lockstep/comparison.json")
"""The last one of this workspace, for whoever reads why a candidate was refused; what counts lies in the bundle."""

Loss = Annotated[float, Field(ge=0)]


class ChampionGates(Section):
    """How much worse than the champion a candidate may be."""

    roc_auc: Loss
    average_precision: Loss
    brier: Loss


class ChampionParams(Params):
    target: str = key("data.target")
    positive: str | None = key("data.positive")
    bootstrap_samples: int = key("evaluate.bootstrap_samples", ge=100)
    seed: int = key("evaluate.seed", ge=0)
    champion: ChampionGates = key("deploy.champion")


class Rows(NamedTuple):
    """Test rows, and what the candidate answered to each."""

    test: pa.Table
    predictions: pa.Table


def compare(
    registry: Registry,
    candidate: str,
    classes: Sequence[str],
    rows: Rows,
    params: ChampionParams,
) -> dict[str, Any] | None:
    """Judge the candidate against the champion.

    Parameters
    ----------
    candidate
        Its digest.
    classes
        Labels of three classes or more that it tells apart; empty of two.
    rows
        What both are judged on.

    Returns
    -------
    dict or None
        ``candidate``, ``champion`` (its digest; None where that is unknown) and ``version``; ``n_rows``; ``gates`` and
        ``figures`` of both; ``not_compared``: why the champion has no answers to these rows, which leaves the gates
        without evidence. Of a candidate that is the champion, what it was promoted with; None where nothing is
        deployed.

    Raises
    ------
    NotPromoted
        The candidate's answers are not about these rows.
    """
    if registry.pointer() is None:
        return None
    if registry.champion_candidate() == candidate:
        return _promoted_with(registry)
    labels = labels_of(rows.test, params.target, params.positive, classes)
    if not np.array_equal(rows.predictions["label"].to_numpy(), labels.codes):
        raise NotPromoted("The predictions are about other rows than the test rows. Run `dvc repro`.")
    thresholds = params.champion.model_dump()
    figures, not_compared = None, None
    try:
        champion = registry.load_champion()
        answers = _answers(champion, rows.test, classes, params)
    except LockstepError as error:
        not_compared = str(error)
        gates = not_comparable(thresholds, len(labels.codes))
    else:
        own = probability_of(rows.predictions, labels.classes)
        gates, figures = judge_against(
            labels.codes, own, answers, thresholds, params.bootstrap_samples, params.seed
        )
    return {
        "candidate": candidate,
        "champion": registry.champion_candidate(),
        "version": _version(registry),
        "n_rows": len(labels.codes),
        "gates": [gate.as_dict() for gate in gates],
        "figures": figures,
        "not_compared": not_compared,
    }


def read_comparison(root: Path, registry: Registry, candidate: str) -> dict[str, Any] | None:
    """What `compare` found last in the workspace `root`; None where that was not about these two."""
    champion = registry.champion_candidate()
    if champion == candidate:
        return _promoted_with(registry)
    try:
        found = json.loads((root / COMPARISON).read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    about = isinstance(found, dict) and (found.get("candidate"), found.get("champion"))
    return found if about == (candidate, champion) else None


def _answers(
    champion: Bundle, test: pa.Table, classes: Sequence[str], params: ChampionParams
) -> npt.NDArray[np.float64]:
    """Probabilities of the test rows by the champion; raises LockstepError where it has none."""
    manifest = champion.manifest
    predicted = (manifest.target, manifest.positive, manifest.classes)
    if predicted != (params.target, params.positive, tuple(classes)):
        raise ModelError(
            f"It predicts {manifest.target!r} in {len(manifest.classes) or 2} classes, or others than the candidate."
        )
    scorer = champion.scorer()
    table = typed_as(test, {one.name: one.kind for one in scorer.encoder.inputs}, "The champion")
    return scorer.probability(raw_columns(table, table.column_names))


def _promoted_with(registry: Registry) -> dict[str, Any] | None:
    try:
        found = read_manifest(registry.directory(registry.champion())).comparison
    except RegistryError:
        # It is deployed anew, as what it was.
        return None
    return None if found is None else dict(found)


def _version(registry: Registry) -> str | None:
    try:
        return registry.champion()
    except RegistryError:
        return None
