"""Stage `evaluate`: judges the model that ships, on test rows that nothing was tuned on."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lockstep.bundle.decision import DECISION_SCHEMA, Decision
from lockstep.bundle.digest import content_digest
from lockstep.bundle.scorer import MODEL_SCHEMA, Scorer
from lockstep.data import columns
from lockstep.data.encoding import ENCODER_SCHEMA, Encoder
from lockstep.data.expectations import parse_suite, public_categories
from lockstep.data.labels import Labels, flag, labels_of, refuse_made_rows
from lockstep.data.tables import SCHEMA, from_parquet, read_bytes, require, to_parquet
from lockstep.errors import ParameterError
from lockstep.evaluation.bootstrap import Interval, intervals
from lockstep.evaluation.calibration import believed, reliability
from lockstep.evaluation.gates import Direction, judge, verdict
from lockstep.evaluation.metrics import curves, metrics, metrics_by_class
from lockstep.fairness.judging import (
    DIFFERENCES,
    Correction,
    Evidence,
    Measured,
    audit_outcomes,
    judge_groups,
    outcomes_of,
)
from lockstep.models import saving
from lockstep.sealing.vault import Vault, open_vault
from tasks._cost import cost
from tasks._decision import audited_groups, decide, decision_of, score, together
from tasks._explanations import Explained, ExplanationParams, explain
from tasks._membership import GATES as MEMBERSHIP_GATES
from tasks._membership import MembershipParams, attack_membership
from tasks._params import key, load_params
from tasks._predictions import predictions
from tasks._robustness import RobustnessParams, withstand
from tasks._scoring_memory import scoring_memory
from tasks._stage import arguments, command, measured, write_report

HEAVY = ("tensorflow", "keras")
"""What takes long to import: a flow may do so ahead, beside the stages before."""

_CURVE_POINTS = 400

_RANKING_GATES: tuple[tuple[str, Direction], ...] = (
    ("roc_auc", "at least"),
    ("average_precision", "at least"),
    ("brier", "at most"),
)

Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int64]


class EvaluateParams(RobustnessParams, ExplanationParams, MembershipParams):
    section = "evaluate"

    project: str = key("project")
    group_correction: Correction = key("evaluate.group_correction")

    def check(self) -> None:
        for name in DIFFERENCES:
            gate, thresholds = f"evaluate.gates.{name}", set(getattr(self.gates, name))
            if unknown := sorted(thresholds - {*self.sensitive, together(self.sensitive)}):
                raise ParameterError(
                    f"{gate} has thresholds for {unknown}, which data.sensitive does not name. "
                    "Name them there, or remove the thresholds."
                )
            if absent := sorted(set(self.sensitive) - thresholds):
                raise ParameterError(
                    f"{gate} has no threshold for the sensitive features {absent}. Add them to params.yaml."
                )


class Inputs(NamedTuple):
    """What the stage reads, opened."""

    params: EvaluateParams
    vault: Vault
    scorer: Scorer
    reference: Scorer
    network: bytes
    train: pa.Table
    trained_on: pa.Table
    validation: pa.Table
    test: pa.Table
    public: Mapping[str, Sequence[str]]
    content: tuple[bytes, bytes]

    def candidate(self, rule: Decision) -> str:
        """Name of the model that ships: the digest of what it is, its rule included."""
        return content_digest(self.vault, *self.content, rule.content())


class Evaluation(NamedTuple):
    rule: Decision
    metrics: dict[str, Any]
    report: dict[str, Any]
    predictions: pa.Table
    roc: list[dict[str, float]]
    pr: list[dict[str, float]]


def run(
    scorer: Scorer,
    validation: pa.Table,
    test: pa.Table,
    public: Mapping[str, Sequence[str]],
    params: EvaluateParams,
    explained: Sequence[Explained] = (),
) -> Evaluation:
    """Judge the shipped model.

    Parameters
    ----------
    scorer
        The model that ships.
    validation
        Rows on which the decision threshold of two classes is chosen.
    test
        Rows on which everything else is measured.
    public
        Categories by column that a report may name.
    explained
        What was found out about it beside that: its reasons, its privacy, how it holds out.

    Raises
    ------
    DataError
        A row was made by a sampler, or a sensitive feature is missing.
    ParameterError
        A sensitive feature has no threshold.
    """
    refuse_made_rows(validation, "validation")
    refuse_made_rows(test, "test")
    require(test, [columns.audit(s) for s in params.sensitive], "data.sensitive")
    params.check()
    labels = labels_of(test, params.target, params.positive, scorer.encoder.classes)
    codes, probability = labels.codes, score(scorer, test)
    rule, chosen = decision_of(validation, score(scorer, validation), scorer.encoder, public, params)
    decisions = decide(rule, test, probability, scorer.encoder)
    figures = metrics(codes, probability, rule.threshold, decisions)
    found = intervals(codes, probability, rule.threshold, params.bootstrap_samples, params.seed, decisions)
    gates = [
        judge(name, figures[name], found.overall[name], getattr(params.gates, name), direction, len(codes))
        for name, direction in _RANKING_GATES
    ]
    outcomes = outcomes_of(codes, decisions, labels.classes)
    evidence = Evidence(
        params.min_group_rows,
        params.min_group_positives,
        params.bootstrap_samples,
        params.seed,
        params.group_correction,
    )
    fairness = {}
    for name, groups in audited_groups(test, params.sensitive, public, params.min_category_rows).items():
        fairness[name] = audit_outcomes(outcomes, groups, evidence)
        for metric in DIFFERENCES:
            threshold_of = getattr(params.gates, metric)
            # That of all sensitive features together need not have one.
            if name in threshold_of:
                between = Measured(**fairness[name]["evidence"][metric])
                gates.append(judge_groups(f"{metric}:{name}", threshold_of[name], between))
    gates += [gate for part in explained for gate in part.gates]
    unseen = ~flag(test, columns.SEEN)
    confidence, right = believed(codes, probability)
    report = {
        **{name: found for part in explained for name, found in part.report.items()},
        "verdict": verdict(gates),
        "gates": [gate.as_dict() for gate in gates],
        "metrics": figures,
        "intervals": found.overall,
        "threshold": chosen,
        "n_test": len(codes),
        "labels": list(labels.classes),
        **_of_each_class(labels, probability, found.by_class),
        "reliability": reliability(confidence, right),
        "unseen": _unseen(codes[unseen], probability[unseen], rule.threshold, decisions[unseen]),
        "fairness": fairness,
    }
    drawn = curves(codes, probability, _CURVE_POINTS)
    return Evaluation(
        rule,
        {**figures, "n_test": len(codes)},
        report,
        predictions(
            labels, probability, decisions, {n: a for part in explained for n, a in part.answers.items()}
        ),
        drawn["roc"],
        drawn["pr"],
    )


def _of_each_class(
    labels: Labels, probability: npt.NDArray[np.float64], found: Mapping[str, Sequence[Interval]]
) -> dict[str, Any]:
    """``classes``: figures of each of several against the rest; null of a class that no test row has."""
    if len(labels.classes) == 2:
        return {}
    figures, rows = metrics_by_class(labels.codes, probability), labels.counts()["by_class"]
    of_classes = {
        name: {
            "n_rows": rows[name],
            "metrics": {m: float(values[i]) for m, values in figures.items()} if rows[name] else None,
            "intervals": {m: of_class[i] for m, of_class in found.items()} if rows[name] else None,
        }
        for i, name in enumerate(labels.classes)
    }
    return {"classes": of_classes}


def _unseen(
    codes: Codes, probability: npt.NDArray[np.float64], threshold: float | None, decisions: Codes
) -> dict[str, Any]:
    """Figures of the test rows whose features no training row shares; none where they have one class alone."""
    told_apart = len(np.unique(codes)) > 1
    found = metrics(codes, probability, threshold, decisions) if told_apart else None
    return {"n_test": len(codes), "metrics": found}


def arguments_of(argv: Sequence[str] | None) -> Namespace:
    """The stage's arguments, as dvc.yaml has them."""
    return arguments(
        "evaluate", argv, "encoder", "model", "reference", "network", "train", "trained-on", "validation", "test",
        "expectations", "key-id", "decision", "metrics", "report", "predictions", "roc", "pr",
    )  # fmt: skip


def read_inputs(args: Namespace) -> Inputs:
    """Open what the stage reads."""
    params = load_params(EvaluateParams, args.params)
    vault = open_vault(params.project, args.key_id)
    encoder = vault.read(args.encoder, role="encoder", schema=ENCODER_SCHEMA)
    model = vault.read(args.model, role="model", schema=MODEL_SCHEMA)
    reference = vault.read(args.reference, role="reference-model", schema=MODEL_SCHEMA)
    network = vault.read(args.network, role="float-model", schema=saving.SCHEMA)
    suite = parse_suite(read_bytes(args.expectations), str(args.expectations))
    train, validation, test = (
        from_parquet(vault.read(path, role=f"debiased-{part}", schema=SCHEMA))
        for part, path in (("train", args.train), ("validation", args.validation), ("test", args.test))
    )
    return Inputs(
        params=params,
        vault=vault,
        scorer=Scorer(Encoder.from_json(encoder), model),
        reference=Scorer(Encoder.from_json(encoder), reference),
        network=network,
        train=train,
        trained_on=from_parquet(vault.read(args.trained_on, role="resampled-train", schema=SCHEMA)),
        validation=validation,
        test=test,
        public=public_categories(suite),
        content=(encoder, model),
    )


def judged(read: Inputs) -> Evaluation:
    """All that the stage finds out about the model that ships."""
    params, held_out = read.params, (read.validation, read.test)
    rule = rule_of(read)
    thresholds = {gate: getattr(params.gates, gate) for gate in MEMBERSHIP_GATES}
    explained = [
        explain(
            read.scorer, read.reference, read.train, *held_out, params, params.gates.explanation_agreement
        ),
        attack_membership(read.scorer, read.trained_on, *held_out, read.public, params, thresholds),
        withstand(read.scorer, read.network, read.train, read.test, read.public, params, rule),
    ]
    return run(read.scorer, *held_out, read.public, params, explained)


def rule_of(read: Inputs) -> Decision:
    """How the model that ships decides."""
    probability = score(read.scorer, read.validation)
    return decision_of(read.validation, probability, read.scorer.encoder, read.public, read.params).rule


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments_of(argv)
    with measured("evaluate", args.report) as figures:
        read = read_inputs(args)
        result = judged(read)
        memory = scoring_memory(*read.content, read.validation)
        figures["cost"] = {"peak_memory_bytes": memory, **cost(read.scorer, read.validation)}
        read.vault.write(args.predictions, to_parquet(result.predictions), role="predictions", schema=SCHEMA)
        read.vault.write(args.decision, result.rule.to_json(), role="decision", schema=DECISION_SCHEMA)
        write_report(args.roc, result.roc)
        write_report(args.pr, result.pr)
        write_report(args.report, {**result.report, "candidate": read.candidate(result.rule)})
        write_report(args.metrics, result.metrics)


if __name__ == "__main__":
    command(main)
