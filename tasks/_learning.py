"""One network of a learning curve: trained as the model that ships on a share of its rows, judged on validation.

No stage: `flows.learning_curve` calls it, and nothing of it is an output of the pipeline.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lockstep.data.batches import TableBatches
from lockstep.data.columns import GROUP, WEIGHT, features
from lockstep.data.encoding import Encoder
from lockstep.data.labels import labels_of
from lockstep.data.row_digests import identical_rows
from lockstep.data.splitting import hold_out, joined
from lockstep.data.tables import SCHEMA, from_parquet
from lockstep.evaluation.bootstrap import ranking_draws
from lockstep.sealing.vault import open_vault
from tasks import debias, resample, train
from tasks._fold import learn, score
from tasks._params import Params, key, load_params
from tasks._privacy import secret_of
from tasks._stage import write_report


class LearningParams(Params):
    project: str = key("project")
    target: str = key("data.target")
    positive: str | None = key("data.positive")
    validation_share: float = key("split.validation_share", gt=0, lt=0.9)
    split_seed: int = key("split.seed", ge=0)
    bootstrap_samples: int = key("evaluate.bootstrap_samples", ge=100)
    seed: int = key("evaluate.seed", ge=0)


def run(
    rows: pa.Table,
    validation: pa.Table,
    share: float,
    network: int,
    params: LearningParams,
    mitigation: debias.DebiasParams,
    resampling: resample.ResampleParams,
    training: train.TrainParams,
    secret: int | None = None,
) -> dict[str, Any]:
    """Train on a share of the training rows, and judge on the validation rows.

    Parameters
    ----------
    rows, validation
        Rows of both parts as `debias` leaves them.
    share
        Of `rows`. Those of one network hold those of a smaller share.
    network
        Its number, from 0: of its rows and its seed.
    secret
        Of the noise of differential privacy.

    Returns
    -------
    dict
        Counts of rows, and average precision on the validation rows, then on each draw of them, the same for every
        network.

    Notes
    -----
    A part of the share, drawn at random, chooses the epoch and calibrates: the validation rows must not, for they would
    flatter a network the more the less it learned.

    Raises
    ------
    DataError
        A class is too small for so small a share.
    """
    names = features(rows.column_names, params.target)
    groups = identical_rows(TableBatches(rows), names)
    if GROUP in rows.column_names:
        groups = joined(groups, rows[GROUP].to_numpy())
    codes = labels_of(rows, params.target, params.positive).codes
    seed = params.split_seed + network
    known = np.arange(len(rows)) if share == 1.0 else np.flatnonzero(hold_out(groups, codes, share, seed))
    chooses = hold_out(groups[known], codes[known], params.validation_share, seed)
    trained = learn(
        rows.take(known[~chooses]),
        rows.take(known[chooses]),
        mitigation,
        resampling,
        training.model_copy(update={"seed": training.seed + network}),
        secret,
    )
    classes = Encoder.from_json(trained.encoder).classes
    judged = labels_of(validation, params.target, params.positive, classes).codes
    draws = ranking_draws(
        judged, {"network": score(trained, validation)}, params.bootstrap_samples, params.seed
    )
    return {
        "n_train": int(np.sum(~chooses)),
        "n_validation": len(validation),
        "average_precision": draws["network"]["average_precision"].tolist(),
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="tasks._learning", allow_abbrev=False)
    for path in ("train", "validation", "key-id", "report"):
        parser.add_argument(f"--{path}", required=True, type=Path)
    parser.add_argument("--share", required=True, type=float)
    parser.add_argument("--network", required=True, type=int)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(LearningParams, args.params)
    vault = open_vault(params.project, args.key_id)
    contents = [
        vault.read(getattr(args, part), role=f"debiased-{part}", schema=SCHEMA)
        for part in ("train", "validation")
    ]
    rows, validation = map(from_parquet, contents)
    training = load_params(train.TrainParams, args.params)
    what = f"network {args.network} of a share of {args.share:g}"
    report = run(
        # Training rows may have a weight, which each share fits anew.
        rows.select([name for name in rows.column_names if name != WEIGHT]),
        validation,
        args.share,
        args.network,
        params,
        load_params(debias.DebiasParams, args.params),
        load_params(resample.ResampleParams, args.params),
        training,
        secret_of(vault, [*contents, what.encode()], training),
    )
    write_report(args.report, report)
