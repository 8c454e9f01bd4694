"""Stage `train`: a Keras network with early stopping on validation average precision, calibrated on validation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import Field

from lockstep.data.columns import MADE, WEIGHT, features
from lockstep.data.encoding import ENCODER_SCHEMA, Encoder
from lockstep.data.labels import binary_labels, flag, refuse_made_rows
from lockstep.data.tables import SCHEMA, from_parquet, raw_columns
from lockstep.files import write_atomic
from lockstep.models import saving
from lockstep.models.calibration import fit_platt, fold
from lockstep.models.checkpoints import Checkpoint, Epoch, State
from lockstep.models.network import Network, inference
from lockstep.models.training import Data, Schedule, logits, train
from lockstep.progress import track
from lockstep.sealing.vault import open_vault
from tasks._checkpoint import SealedCheckpoint
from tasks._params import Params, key, load_params
from tasks._stage import arguments, command, measured, write_report

HEAVY = ("tensorflow", "keras")
"""What takes long to import: a flow may do so ahead, beside the stages before."""


class TrainParams(Params):
    section = "train"

    project: str = key("project")
    target: str = key("data.target")
    positive: str = key("data.positive")
    epochs: int = key("train.epochs", ge=1)
    batch_size: int = key("train.batch_size", ge=1)
    learning_rate: float = key("train.learning_rate", gt=0)
    warmup_share: float = key("train.warmup_share", ge=0, lt=1)
    weight_decay: float = key("train.weight_decay", ge=0)
    l2: float = key("train.l2", ge=0)
    clip_norm: float = key("train.clip_norm", gt=0)
    hidden: list[Annotated[int, Field(ge=1)]] = key("train.hidden", min_length=1)
    batch_normalization: bool = key("train.batch_normalization")
    dropout: float = key("train.dropout", ge=0, lt=1)
    embedding_dim: int = key("train.embedding_dim", ge=1)
    embedding_dropout: float = key("train.embedding_dropout", ge=0, lt=1)
    bins: int = key("train.bins", ge=2)
    min_value_rows: int = key("train.min_value_rows", ge=1)
    patience: int = key("train.patience", ge=1)
    seed: int = key("train.seed", ge=0)


class Trained(NamedTuple):
    encoder: bytes
    network: bytes
    curve: tuple[Epoch, ...]
    report: dict[str, Any]


def run(train_rows: pa.Table, validation: pa.Table, params: TrainParams, checkpoint: Checkpoint) -> Trained:
    """Fit encoder and network on the training rows, calibrate on the validation rows.

    Parameters
    ----------
    checkpoint
        Tells the state to go on from, and keeps that after each epoch.

    Raises
    ------
    DataError
        A validation row was made by a sampler, or a feature is of a type that cannot be encoded.
    """
    refuse_made_rows(validation, "validation")
    names = features(train_rows.column_names, params.target)
    # Of real rows alone: a repeated row would make one person's value look shared.
    real = train_rows.filter(pa.array(~flag(train_rows, MADE)))
    encoder = Encoder.fit(raw_columns(real, names), params.bins, params.min_value_rows)
    raw = raw_columns(train_rows, names)
    data = Data(
        encoder.encode(raw),
        binary_labels(train_rows, params.target, params.positive),
        np.asarray(train_rows[WEIGHT].to_numpy(), dtype=np.float32),
    )
    held_out = Data(
        encoder.encode(raw_columns(validation, names)),
        binary_labels(validation, params.target, params.positive),
        np.ones(len(validation), dtype=np.float32),
    )
    network = _network(encoder, params)
    start = checkpoint.load()
    with track("epochs", params.epochs, len(start.curve) if start else 0) as advance:

        def after_epoch(state: State) -> None:
            checkpoint.save(state)
            advance(f"val_average_precision {state.curve[-1].val_average_precision:.4f}")

        trained = train(network, _schedule(params), data, held_out, after_epoch, start)
    slope, intercept = fit_platt(logits(inference(trained.model), held_out.features), held_out.labels)
    fold(trained.model, slope, intercept)
    report = {
        "features": names,
        "n_train": len(data.labels),
        "n_validation": len(held_out.labels),
        "parameters": int(trained.model.count_params()),
        "epochs": len(trained.curve),
        "best_epoch": trained.best_epoch,
        "best_val_average_precision": trained.curve[trained.best_epoch - 1].val_average_precision,
        "calibration": {"method": "platt", "slope": slope, "intercept": intercept},
    }
    return Trained(encoder.to_json(), saving.to_bytes(network, trained.model), trained.curve, report)


def _network(encoder: Encoder, params: TrainParams) -> Network:
    return Network(
        n_codes=encoder.n_codes,
        n_columns=len(encoder.columns),
        numeric_width=encoder.numeric_width,
        hidden=tuple(params.hidden),
        embedding_dim=params.embedding_dim,
        embedding_dropout=params.embedding_dropout,
        dropout=params.dropout,
        batch_normalization=params.batch_normalization,
        l2=params.l2,
    )


def _schedule(params: TrainParams) -> Schedule:
    return Schedule(
        epochs=params.epochs,
        batch_size=params.batch_size,
        learning_rate=params.learning_rate,
        warmup_share=params.warmup_share,
        weight_decay=params.weight_decay,
        clip_norm=params.clip_norm,
        patience=params.patience,
        seed=params.seed,
    )


def _curve_table(curve: Sequence[Epoch]) -> bytes:
    lines = ["epoch\tloss\tval_average_precision\tlearning_rate"]
    lines += [f"{e.epoch}\t{e.loss:.6f}\t{e.val_average_precision:.6f}\t{e.learning_rate:.8f}" for e in curve]
    return ("\n".join(lines) + "\n").encode()


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments("train", argv, "train", "validation", "key-id", "encoder", "model", "curve", "report")
    params = load_params(TrainParams, args.params)
    with measured("train"):
        vault = open_vault(params.project, args.key_id)
        inputs = [
            vault.read(args.train, role="resampled-train", schema=SCHEMA),
            vault.read(args.validation, role="debiased-validation", schema=SCHEMA),
        ]
        checkpoint = SealedCheckpoint(vault, "train", inputs, params)
        train_rows, validation = map(from_parquet, inputs)
        result = run(train_rows, validation, params, checkpoint)
        vault.write(args.encoder, result.encoder, role="encoder", schema=ENCODER_SCHEMA)
        vault.write(args.model, result.network, role="float-model", schema=saving.SCHEMA)
        write_atomic(args.curve, _curve_table(result.curve))
        write_report(args.report, result.report)
        checkpoint.discard()


if __name__ == "__main__":
    command(main)
