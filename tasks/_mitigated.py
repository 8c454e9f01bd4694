"""One method of a comparison of debiasing: debiased, resampled and trained anew, judged on the validation rows.

No stage: `flows.compare` calls it, and nothing of it is an output of the pipeline.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lockstep.data.batches import Batches, ParquetBatches
from lockstep.data.encoding import Encoder
from lockstep.data.expectations import parse_suite, public_categories
from lockstep.data.labels import labels_of
from lockstep.data.tables import SCHEMA, read_bytes
from lockstep.evaluation.bootstrap import intervals
from lockstep.evaluation.metrics import metrics
from lockstep.fairness.judging import DIFFERENCES, Evidence, measure_groups, outcomes_of
from lockstep.sealing.vault import open_vault
from tasks import debias, evaluate, resample, train
from tasks._decision import audited_groups, decide, decision_of
from tasks._fold import Floats, NoCheckpoint, halves, score
from tasks._params import load_params
from tasks._stage import write_report

RANKING = ("roc_auc", "average_precision")
QUALITY = (*RANKING, "f1")


class Settings(NamedTuple):
    """What each step reads of params.yaml."""

    mitigation: debias.DebiasParams
    resampling: resample.ResampleParams
    training: train.TrainParams
    judging: evaluate.EvaluateParams


def run(
    parts: Mapping[str, Batches], public: Mapping[str, Sequence[str]], settings: Settings
) -> dict[str, Any]:
    """Train from what the method makes of the training rows, and judge on the validation rows.

    Parameters
    ----------
    parts
        The tables ``train`` and ``validation``, as `split` leaves them.
    public
        Categories by column that a report may name.

    Returns
    -------
    dict
        Counts of rows, and figures with 95 % intervals: how well the model ranks and decides, and the differences
        between groups in what is decided, by sensitive feature and by all of them together; None where fewer than two
        groups are large enough. Of two classes, each half of the rows is decided by the rule that the other half chose,
        for a rule flatters the rows that it was fitted on. No rule keeps to a parity gate, so that differences
        are those of the method.
    """
    judging = settings.judging
    debiased = debias.run(parts, public, settings.mitigation)
    validation = debiased.parts["validation"].read()
    resampled = resample.run(debiased.parts["train"].read(), settings.resampling, debiased.transform)
    trained = train.run(
        resampled.train, validation, settings.training, NoCheckpoint(), transform=debiased.transform
    )
    encoder, probability = Encoder.from_json(trained.encoder), score(trained, validation)
    labels = labels_of(validation, judging.target, judging.positive, encoder.classes)
    decisions = _decisions(validation, probability, encoder, labels.codes, public, judging)
    samples, seed = judging.bootstrap_samples, judging.seed
    found = metrics(labels.codes, probability, None, decisions)
    ranges = intervals(labels.codes, probability, None, samples, seed, decisions).overall
    figures: dict[str, float | None] = {name: found[name] for name in QUALITY}
    known: dict[str, Any] = {name: ranges[name] for name in QUALITY}
    outcomes = outcomes_of(labels.codes, decisions, labels.classes)
    evidence = Evidence(
        judging.min_group_rows, judging.min_group_positives, samples, seed, judging.group_correction
    )
    groups = audited_groups(validation, judging.sensitive, public, judging.min_category_rows)
    for name, of_row in groups.items():
        for difference in DIFFERENCES:
            between = measure_groups(difference, outcomes, of_row, evidence)
            figures[f"{difference}:{name}"] = between.figure
            known[f"{difference}:{name}"] = between.interval
    return {
        "n_train": len(resampled.train),
        "n_validation": len(validation),
        "figures": figures,
        "intervals": known,
    }


def _decisions(
    validation: pa.Table,
    probability: Floats,
    encoder: Encoder,
    codes: npt.NDArray[np.int64],
    public: Mapping[str, Sequence[str]],
    judging: evaluate.EvaluateParams,
) -> npt.NDArray[np.int64]:
    """Number of the class that each validation row gets by the rule of the half that it is not in."""
    free = judging.model_copy(update={"parity_reserve": None})
    decisions = np.empty(len(codes), dtype=np.int64)
    first = halves(codes, judging.seed)
    for decided in (first, ~first):
        chosen, judged = (validation.filter(pa.array(rows)) for rows in (~decided, decided))
        rule = decision_of(chosen, probability[~decided], encoder, public, free).rule
        decisions[decided] = decide(rule, judged, probability[decided], encoder)
    return decisions


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="tasks._mitigated")
    for path in ("train", "validation", "expectations", "key-id", "params", "report"):
        parser.add_argument(f"--{path}", required=True, type=Path)
    args = parser.parse_args(argv)
    settings = Settings(
        load_params(debias.DebiasParams, args.params),
        load_params(resample.ResampleParams, args.params),
        load_params(train.TrainParams, args.params),
        load_params(evaluate.EvaluateParams, args.params),
    )
    vault = open_vault(settings.mitigation.project, args.key_id)
    suite = parse_suite(read_bytes(args.expectations), str(args.expectations))
    started = time.perf_counter()
    with ExitStack() as stack:
        parts = {}
        for part in ("train", "validation"):
            path = getattr(args, part)
            file = stack.enter_context(vault.reader(path, role=part, schema=SCHEMA))
            parts[part] = ParquetBatches(file, str(path))
        report = run(parts, public_categories(suite), settings)
    report["figures"]["seconds"] = time.perf_counter() - started
    write_report(args.report, report)
