"""One fold of a cross-validation: mitigation, resampling, encoder and training anew, scored on rows that none saw.

No stage: `flows.cross_validate` calls it, and nothing of it is an output of the pipeline.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lockstep.data.batches import TableBatches
from lockstep.data.columns import GROUP, WEIGHT, features
from lockstep.data.encoding import Encoder
from lockstep.data.labels import labels_of
from lockstep.data.splitting import folds, hold_out, identical, joined
from lockstep.data.tables import SCHEMA, from_parquet, raw_columns
from lockstep.errors import ParameterError
from lockstep.evaluation.metrics import decided, ranking
from lockstep.models import saving
from lockstep.models.checkpoints import State
from lockstep.models.network import inference
from lockstep.models.scoring import logits, probabilities
from lockstep.sealing.vault import open_vault
from tasks import debias, resample, train
from tasks._params import Params, key, load_params
from tasks._privacy import secret_of
from tasks._stage import write_report

Floats = npt.NDArray[np.float64]


class FoldParams(Params):
    project: str = key("project")
    target: str = key("data.target")
    positive: str | None = key("data.positive")
    validation_share: float = key("split.validation_share", gt=0, lt=0.9)
    seed: int = key("split.seed", ge=0)
    time_column: str | None = key("data.time_column")


class NoCheckpoint:
    """Of a training that is done again from its beginning."""

    def load(self, member: int = 0) -> State | None:
        return None

    def save(self, state: State, member: int = 0) -> None:
        pass


def run(
    rows: pa.Table,
    fold: int,
    n_folds: int,
    params: FoldParams,
    mitigation: debias.DebiasParams,
    resampling: resample.ResampleParams,
    training: train.TrainParams,
    secret: int | None = None,
) -> dict[str, Any]:
    """Train on all folds but one, and score that one.

    Parameters
    ----------
    rows
        Rows of train and validation, as `debias` leaves them.
    fold, n_folds
        Number of the fold to score, from 0, and how many there are. Rows of identical features are in one fold.
    secret
        Of the noise of differential privacy.

    Returns
    -------
    dict
        Counts of rows, and figures on the fold.

    Notes
    -----
    Early stopping and calibration have a validation part of their own, taken from the other folds: rows that chose
    the epoch would flatter it.

    Raises
    ------
    DataError
        A class is too small for so many folds.
    """
    if params.time_column is not None:
        raise ParameterError(
            f"Rows are split by data.time_column {params.time_column!r}, and folds would look ahead. Judge by the "
            "validation rows that `lockstep run` leaves."
        )
    names = features(rows.column_names, params.target)
    labels = labels_of(rows, params.target, params.positive)
    groups = identical(rows.select(names).to_pandas(), names)
    if GROUP in rows.column_names:
        groups = joined(groups, rows[GROUP].to_numpy())
    scored = folds(groups, labels.codes, n_folds, params.seed) == fold
    others = np.flatnonzero(~scored)
    validation = np.zeros(len(rows), dtype=bool)
    validation[others] = hold_out(groups[others], labels.codes[others], params.validation_share, params.seed)
    trained = learn(
        rows.filter(pa.array(~scored & ~validation)),
        rows.filter(pa.array(validation)),
        mitigation,
        resampling,
        training,
        secret,
    )
    probability = score(trained, rows.filter(pa.array(scored)))
    return {
        "n_train": int(np.sum(~scored & ~validation)),
        "n_validation": int(validation.sum()),
        "n_scored": int(scored.sum()),
        "scored": labels.counts(scored),
        "figures": {
            **ranking(labels.codes[scored], probability),
            "error_rate": float(np.mean(decided(probability) != labels.codes[scored])),
        },
    }


def learn(
    learned: pa.Table,
    validation: pa.Table,
    mitigation: debias.DebiasParams,
    resampling: resample.ResampleParams,
    training: train.TrainParams,
    secret: int | None,
) -> train.Trained:
    """Fit the mitigation, resample and train as the pipeline does, on `learned`, which has no weights yet."""
    fitted = debias.fit(TableBatches(learned), mitigation)
    if fitted.weights is not None:
        learned = learned.append_column(WEIGHT, pa.array(fitted.weights))
    return train.run(
        resample.run(learned, resampling, fitted.transform).train,
        validation,
        training,
        NoCheckpoint(),
        transform=fitted.transform,
        secret=secret,
    )


def answers_of(trained: train.Trained, rows: pa.Table) -> Floats:
    """Logits of n rows, shape (n, 1)."""
    encoder = Encoder.from_json(trained.encoder)
    _, model = saving.from_bytes(trained.network)
    raw = raw_columns(rows, [column.name for column in encoder.inputs])
    return logits(inference(model), encoder.encode(raw))


def halves(codes: npt.NDArray[np.int64], seed: int) -> npt.NDArray[np.bool_]:
    """Mask of one half of n rows, shape (n,), drawn within each class, so that a rare one is in both halves."""
    half = np.zeros(len(codes), dtype=bool)
    order = np.random.default_rng(seed).permutation(len(codes))
    half[order[np.argsort(codes[order], kind="stable")][::2]] = True
    return half


def score(trained: train.Trained, rows: pa.Table) -> Floats:
    """Probability of the positive class of two, shape (n,), or of each of more, shape (n, k)."""
    scored = probabilities(answers_of(trained, rows))
    return scored if scored.shape[1] > 1 else scored[:, 0]


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="tasks._fold")
    for path in ("train", "validation", "key-id", "report"):
        parser.add_argument(f"--{path}", required=True, type=Path)
    for number in ("fold", "folds"):
        parser.add_argument(f"--{number}", required=True, type=int)
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    args = parser.parse_args(argv)
    params = load_params(FoldParams, args.params)
    vault = open_vault(params.project, args.key_id)
    contents = [
        vault.read(getattr(args, part), role=f"debiased-{part}", schema=SCHEMA)
        for part in ("train", "validation")
    ]
    parts = [from_parquet(content) for content in contents]
    # Training rows may have a weight, which each fold fits anew.
    names = [name for name in parts[0].column_names if name != WEIGHT]
    rows = pa.concat_tables([part.select(names) for part in parts])
    mitigation = load_params(debias.DebiasParams, args.params)
    resampling = load_params(resample.ResampleParams, args.params)
    training = load_params(train.TrainParams, args.params)
    secret = secret_of(vault, [*contents, f"fold {args.fold} of {args.folds}".encode()], training)
    write_report(
        args.report, run(rows, args.fold, args.folds, params, mitigation, resampling, training, secret)
    )
