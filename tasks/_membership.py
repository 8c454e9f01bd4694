"""How well the model that ships hides whom it was trained on: what `evaluate` finds out by attacking it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lockstep.bundle.scorer import Scorer
from lockstep.data.batches import TableBatches
from lockstep.data.columns import MADE, audit
from lockstep.data.labels import flag, labels_of
from lockstep.data.row_digests import identical_rows
from lockstep.data.tables import raw_columns
from lockstep.evaluation.alternatives import logistic_regression
from lockstep.evaluation.gates import Gate, judge, no_evidence
from lockstep.evaluation.membership import attack, is_evidence, matched
from lockstep.evaluation.metrics import Codes, Floats, row_losses
from tasks._decision import named_groups
from tasks._explanations import Explained
from tasks._params import Params, key

GATES = {
    "membership_inference": ("true_positive_rate", "interval"),
    "membership_inference_auc": ("roc_auc", "roc_auc_interval"),
}
"""By gate: the figure of an attack that it judges, and its interval."""

_ATTACKS = ("loss", "calibrated_loss")


class MembershipParams(Params):
    """What of params.yaml the attacks read."""

    target: str = key("data.target")
    positive: str | None = key("data.positive")
    sensitive: list[str] = key("data.sensitive")
    min_category_rows: int = key("data.min_category_rows", ge=1)
    attacked_rows: int = key("evaluate.attacked_rows", ge=1)
    attack_false_positive_rate: float = key("evaluate.attack_false_positive_rate", gt=0, lt=1)
    seed: int = key("evaluate.seed", ge=0)


class Attacked(NamedTuple):
    """Rows that are attacked, with the number of each one's class, and its own among the real rows of its table."""

    rows: pa.Table
    codes: Codes
    numbers: npt.NDArray[np.int_]


def attack_membership(
    scorer: Scorer,
    trained_on: pa.Table,
    validation: pa.Table,
    test: pa.Table,
    public: Mapping[str, Sequence[str]],
    params: MembershipParams,
    thresholds: Mapping[str, float | None],
) -> Explained:
    """Attack the model that ships, and judge the attack that finds more members.

    Parameters
    ----------
    scorer
        The model that ships.
    trained_on
        The rows that it was trained on; those that a sampler made are nobody, and left aside.
    validation
        Rows that tell how hard a row is, to a model of their own.
    test
        Rows that it was not trained on.
    public
        Categories by column that a report may name.
    thresholds
        By gate of `GATES`: the most that may be found; None, or no entry: it is not judged.
    """
    rate = params.attack_false_positive_rate
    audience = audience_of(scorer, trained_on, validation, test, params)
    n_members, n_others = (len(part.codes) for part in audience)
    counts = {"false_positive_rate": rate, "n_members": n_members, "n_others": n_others}
    n_rows = n_members + n_others
    if not is_evidence(n_members, n_others, rate):
        unclear = [
            replace(no_evidence(gate, most, n_rows, ()), at=_at(gate, rate))
            for gate, most in thresholds.items()
            if most is not None
        ]
        return Explained({"membership": counts}, tuple(unclear))
    scores = _scores(scorer, validation, audience, params)
    attacks = {name: attack(*scores[name], rate, len(_ATTACKS)) for name in _ATTACKS}
    judged = max(_ATTACKS, key=lambda name: float(attacks[name]["true_positive_rate"]))
    by_group = _by_group(audience, scores[judged], public, params)
    report = {**counts, "judged": judged, "attacks": attacks, "by_group": by_group}
    return Explained({"membership": report}, judged_gates(list(attacks.values()), thresholds, n_rows, rate))


def judged_gates(
    attacks: Sequence[Mapping[str, Any]], thresholds: Mapping[str, float | None], n_rows: int, rate: float
) -> tuple[Gate, ...]:
    """The gates that have a threshold, each about the attack that finds most by its figure."""
    found = []
    for gate, (figure, interval) in GATES.items():
        most = thresholds.get(gate)
        if most is not None:
            worst = max(attacks, key=itemgetter(figure))
            judged = judge(gate, worst[figure], worst[interval], most, "at most", n_rows)
            found.append(replace(judged, at=_at(gate, rate)))
    return tuple(found)


def _at(gate: str, rate: float) -> float | None:
    """The false positive rate, where the gate's figure is taken at it."""
    return rate if GATES[gate][0] == "true_positive_rate" else None


def audience_of(
    scorer: Scorer, trained_on: pa.Table, validation: pa.Table, test: pa.Table, params: MembershipParams
) -> tuple[Attacked, Attacked]:
    """Draw members and others.

    A test row that a training row equals is no stranger to the model; and without such rows the others are rarer, and
    harder, than training rows are. So the same is asked of both: features that no training or validation row has, the
    row itself left aside.
    """
    real = trained_on.filter(pa.array(~flag(trained_on, MADE)))
    held = set(real.column_names)
    names = [column.name if column.name in held else audit(column.name) for column in scorer.encoder.inputs]
    parts = [table.select(names) for table in (real, validation, test)]
    groups = identical_rows(TableBatches(pa.concat_tables(parts)), names)
    n_known = len(real) + len(validation)
    known = np.bincount(groups[:n_known], minlength=groups.max(initial=0) + 1)
    members, others = (
        np.flatnonzero(known[groups[: len(real)]] == 1),
        np.flatnonzero(known[groups[n_known:]] == 0),
    )
    codes = [
        labels_of(table, params.target, params.positive, scorer.encoder.classes).codes
        for table in (real, test)
    ]
    rng = np.random.default_rng(params.seed)
    drawn = matched(codes[0][members], codes[1][others], params.attacked_rows, rng)
    members, others = members[drawn[0]], others[drawn[1]]
    kept = list(dict.fromkeys([*names, *map(audit, params.sensitive)]))
    return (
        Attacked(real.select(kept).take(members), codes[0][members], members),
        Attacked(test.select(kept).take(others), codes[1][others], others),
    )


def _scores(
    scorer: Scorer, validation: pa.Table, audience: tuple[Attacked, Attacked], params: MembershipParams
) -> dict[str, tuple[Floats, Floats]]:
    """What each attack makes of members and of others, higher for what looks like a member."""
    names = [column.name for column in scorer.encoder.inputs]
    encoded = scorer.encoder.encode(raw_columns(pa.concat_tables([part.rows for part in audience]), names))
    known = labels_of(validation, params.target, params.positive, scorer.encoder.classes)
    stranger = logistic_regression(
        scorer.encoder, scorer.encoder.encode(raw_columns(validation, names)), known, encoded
    )
    codes = np.concatenate([part.codes for part in audience])
    loss, of_stranger = (
        row_losses(codes, probability)["log_loss"] for probability in (scorer.score(encoded), stranger)
    )
    n_members = len(audience[0].codes)
    return {
        name: (score[:n_members], score[n_members:])
        for name, score in zip(_ATTACKS, (-loss, of_stranger - loss), strict=True)
    }


def _by_group(
    audience: tuple[Attacked, Attacked],
    scores: Sequence[Floats],
    public: Mapping[str, Sequence[str]],
    params: MembershipParams,
) -> dict[str, Any]:
    """By sensitive feature: the attack on the rows of each group that is large enough, and the names of the others.

    The intervals hold for all groups of a feature together.
    """
    names = [named_groups(part.rows, params.sensitive, public, params.min_category_rows) for part in audience]
    rate, found = params.attack_false_positive_rate, {}
    for feature in params.sensitive:
        of_rows = [of_part[feature] for of_part in names]
        groups = sorted({*of_rows[0], *of_rows[1]})
        counts = [Counter(of_part) for of_part in of_rows]
        large = [name for name in groups if is_evidence(counts[0][name], counts[1][name], rate)]
        figures = {}
        for name in large:
            parts = [score[of == name] for score, of in zip(scores, of_rows, strict=True)]
            attacked = attack(parts[0], parts[1], rate, len(_ATTACKS) * len(large))
            attacked.pop("roc")
            figures[name] = {"n_members": len(parts[0]), "n_others": len(parts[1]), **attacked}
        found[feature] = {"groups": figures, "left_out": [name for name in groups if name not in large]}
    return found
