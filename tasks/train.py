"""Stage `train`: a Keras network with early stopping on validation average precision, and calibrated."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pydantic import Field

from lockstep.data import decorrelation
from lockstep.data.columns import MADE, WEIGHT, features
from lockstep.data.decorrelation import Decorrelation
from lockstep.data.encoding import ENCODER_SCHEMA, Encoder
from lockstep.data.labels import flag, labels_of, refuse_made_rows
from lockstep.data.plausible import Plausible
from lockstep.data.tables import SCHEMA, RawColumns, from_parquet
from lockstep.errors import ParameterError
from lockstep.fairness.methods import Constraint, Method
from lockstep.files import write_atomic
from lockstep.models import saving, training
from lockstep.models.adversary import Adversary
from lockstep.models.calibration import fit_platt, fold
from lockstep.models.checkpoints import Checkpoint, Epoch
from lockstep.models.ensemble import Ensemble, train_ensemble
from lockstep.models.ensemble import Method as EnsembleMethod
from lockstep.models.few_rows import fitted, scarcity
from lockstep.models.moved_rows import Moves
from lockstep.models.network import Network, Normalization, Precision, inference
from lockstep.models.scalars import Scalars
from lockstep.models.scoring import average_precision, logits
from lockstep.models.shared_slopes import Slopes
from lockstep.models.training import Data, Schedule, classes_of, one_hot
from lockstep.models.unseen import average_unseen
from lockstep.progress import track
from lockstep.sealing.vault import open_vault
from tasks._checkpoint import SealedCheckpoint
from tasks._groups import groups_of, protected
from tasks._params import key, load_params
from tasks._privacy import PrivacyParams, privacy_of, promise_of, secret_of
from tasks._reduction import reduced
from tasks._stage import arguments, command, measured, write_report

HEAVY = ("tensorflow", "keras")
"""What takes long to import: a flow may do so ahead, beside the stages before."""

SCALARS = Path(".lockstep/tensorboard/train")


class TrainParams(PrivacyParams):
    section = "train"

    project: str = key("project")
    target: str = key("data.target")
    positive: str | None = key("data.positive")
    sensitive: list[str] = key("data.sensitive")
    time_column: str | None = key("data.time_column")
    min_category_rows: int = key("data.min_category_rows", ge=1)
    mitigation: Method = key("debias.method")
    protect: list[str] | None = key("debias.protect")
    constraint: Constraint = key("debias.constraint")
    adversary_weight: float = key("debias.adversary_weight", gt=0)
    grid_size: int = key("debias.grid_size", ge=2)
    epochs: int = key("train.epochs", ge=1)
    min_steps: int = key("train.min_steps", ge=0)
    batch_size: int = key("train.batch_size", ge=1)
    optimizer: Literal["adamw", "adam", "nadam", "lion", "rmsprop", "sgd"] = key("train.optimizer")
    learning_rate: float = key("train.learning_rate", gt=0)
    schedule: Literal["constant", "step", "exponential", "cosine", "plateau"] = key("train.schedule")
    warmup_share: float = key("train.warmup_share", ge=0, lt=1)
    decay: float = key("train.decay", gt=0, le=1)
    weight_decay: float = key("train.weight_decay", ge=0)
    clip_norm: float = key("train.clip_norm", gt=0)
    l1: float = key("train.l1", ge=0)
    l2: float = key("train.l2", ge=0)
    label_smoothing: float = key("train.label_smoothing", ge=0, lt=1)
    focal_gamma: float = key("train.focal_gamma", ge=0)
    noise: float = key("train.noise", ge=0)
    adversarial: float = key("train.adversarial", ge=0)
    hidden: list[Annotated[int, Field(ge=1)]] = key("train.hidden", min_length=1)
    normalization: Normalization = key("train.normalization")
    dropout: float = key("train.dropout", ge=0, lt=1)
    embedding_dim: int = key("train.embedding_dim", ge=1)
    embedding_dropout: float = key("train.embedding_dropout", ge=0, lt=1)
    bins: int = key("train.bins", ge=2)
    min_value_rows: int = key("train.min_value_rows", ge=1)
    ample_rows: int = key("train.ample_rows", ge=0)
    precision: Precision = key("train.precision")
    patience: int = key("train.patience", ge=1)
    min_gain: float = key("train.min_gain", ge=0)
    ensemble: EnsembleMethod = key("train.ensemble")
    members: int = key("train.members", ge=2)
    distilled: bool = key("train.distilled")
    seed: int = key("train.seed", ge=0)


class Trained(NamedTuple):
    encoder: bytes
    network: bytes
    curve: tuple[Epoch, ...]
    report: dict[str, Any]


def _ignore(epoch: Epoch) -> None:
    """Nobody watches."""


def run(
    train_rows: pa.Table,
    validation: pa.Table,
    params: TrainParams,
    checkpoint: Checkpoint,
    on_epoch: Callable[[Epoch], None] = _ignore,
    transform: Decorrelation | None = None,
    secret: int | None = None,
) -> Trained:
    """Fit encoder and network on the training rows, stop and calibrate by the validation rows.

    How common the classes are the calibration learns from both, where training rows are as others (docs/adr/022).

    Parameters
    ----------
    checkpoint
        Tells the state to go on from, and keeps that after each epoch.
    on_epoch
        Called after each epoch.
    transform
        What `debias` has the encoder take from the features.
    secret
        Of the noise of differential privacy (`tasks._privacy.secret_of`).

    Raises
    ------
    ParameterError
        Parameters do not go together.
    DataError
        A validation row was made by a sampler, or a feature is of a type that cannot be encoded.
    """
    refuse_made_rows(validation, "validation")
    privacy = privacy_of(params, secret)
    names = features(train_rows.column_names, params.target)
    encoder, data = encode(train_rows, params, transform)
    labels = labels_of(validation, params.target, params.positive, encoder.classes).codes
    held_out = Data(
        encoder.encode_compact(RawColumns(validation, [column.name for column in encoder.inputs])),
        one_hot(labels, max(len(encoder.classes), 2)),
        np.ones(len(validation), dtype=np.float32),
    )
    network, schedule, ensemble = plan_of(encoder, params, len(data.targets))
    schedule = replace(schedule, privacy=privacy)
    promise = promise_of(privacy, params.dp_delta, schedule.resolved(len(data.targets)), len(data.targets))
    if data.groups is not None:
        schedule = _against_adversary(schedule, int(data.groups.max()) + 1, params)
    points = params.grid_size if params.mitigation == "grid" else 1
    planned = sum(plan.epochs for plan in ensemble.schedules(schedule, data.targets))
    with track("epochs", points * planned) as advance:

        def after_epoch(epoch: Epoch) -> None:
            on_epoch(epoch)
            advance(f"val_average_precision {epoch.val_average_precision:.4f}", epoch.val_average_precision)

        def train_once(
            data: Data, checkpoint: Checkpoint, on_epoch: Callable[[Epoch], None]
        ) -> training.Trained:
            return train_ensemble(network, schedule, ensemble, data, held_out, checkpoint, on_epoch)

        if params.mitigation == "grid":
            trained = reduced(
                data,
                _two_classes(data),
                _groups(train_rows, params),
                params.constraint,
                params.grid_size,
                ensemble,
                checkpoint,
                after_epoch,
                train_once,
            )
        else:
            trained = train_once(data, checkpoint, after_epoch)
    average_unseen(trained.model, data.features.codes, encoder.code_starts)
    infer = inference(trained.model)
    answers = logits(infer, held_out.features)
    taught = None
    if _are_as_others(params) and privacy is None:
        taught = logits(infer, data.features), classes_of(data.targets)
    platt = fit_platt(answers, labels, taught)
    fold(trained.model, platt)
    report = {
        "features": names,
        "n_train": len(data.targets),
        "n_validation": len(labels),
        "network": trained.network.as_dict(),
        "parameters": int(trained.model.count_params()),
        "epochs": len(trained.curve),
        "best_epoch": trained.best_epoch,
        "best_val_average_precision": average_precision(held_out.targets, answers),
        "differential_privacy": promise,
        "calibration": {
            "method": "platt",
            "slope": platt.slope,
            **_intercepts(encoder.classes, platt.intercepts),
            "intercept_from": ["train", "validation"] if platt.of_all else ["validation"],
        },
    }
    return Trained(encoder.to_json(), saving.to_bytes(trained.network, trained.model), trained.curve, report)


def _are_as_others(params: TrainParams) -> bool:
    """Whether training rows are drawn as those to come will be, and each taught its own label as much as any other."""
    return (
        params.time_column is None
        and params.resampling == "none"
        and params.ensemble != "balanced_bagging"
        and params.mitigation in ("none", "drop", "correlation", "thresholds")
        and not params.focal_gamma
    )


def _intercepts(classes: Sequence[str], intercepts: npt.NDArray[np.float64]) -> dict[str, Any]:
    if not classes:
        return {"intercept": float(intercepts[0])}
    return {"intercepts": dict(zip(classes, intercepts.tolist(), strict=True))}


def encode(
    train_rows: pa.Table, params: TrainParams, transform: Decorrelation | None = None
) -> tuple[Encoder, Data]:
    """The encoder that the training rows give, and these as it encodes them."""
    names = features(train_rows.column_names, params.target)
    names += transform.names if transform else []
    # Of real rows alone: a repeated row would make one person's value look shared.
    made = flag(train_rows, MADE)
    real = train_rows.filter(pa.array(~made)) if made.any() else train_rows
    labels = labels_of(train_rows, params.target, params.positive)
    several = labels.classes if params.positive is None else ()
    few = scarcity(len(train_rows), params.ample_rows) > 0
    encoder = Encoder.fit(
        RawColumns(real, names), params.bins, params.min_value_rows, transform, several, to_the_ends=few
    )
    table, moves = RawColumns(train_rows, names), None
    if params.adversarial:
        plausible = Plausible.fit(real, [column.name for column in encoder.columns])
        moves = Moves.of_rows(encoder, plausible, params.adversarial, table, params.seed)
    return encoder, Data(
        encoder.encode_compact(table),
        one_hot(labels.codes, len(labels.classes)),
        np.asarray(train_rows[WEIGHT].to_numpy(), dtype=np.float32),
        _group_numbers(train_rows, params) if params.mitigation == "adversarial" else None,
        moves,
        Slopes.of(encoder) if few else None,
    )


def _groups(train_rows: pa.Table, params: TrainParams) -> npt.NDArray[np.object_]:
    return groups_of(train_rows, protected(params.sensitive, params.protect), params.min_category_rows)


def _group_numbers(train_rows: pa.Table, params: TrainParams) -> npt.NDArray[np.int32]:
    """Number of each training row's group, -1 of a row of none."""
    groups = _groups(train_rows, params)
    numbers, some = np.full(len(groups), -1, dtype=np.int32), groups != np.array(None)
    numbers[some] = np.unique(groups[some].astype(str), return_inverse=True)[1]
    return numbers


def _against_adversary(schedule: Schedule, n_groups: int, params: TrainParams) -> Schedule:
    adversary = Adversary(n_groups, params.adversary_weight, params.constraint == "equalized_odds")
    # Every epoch is a gain: validation rows would choose one from before the adversary had its effect.
    return replace(schedule, adversary=adversary, min_gain=-math.inf)


def _two_classes(data: Data) -> npt.NDArray[np.bool_]:
    if data.targets.shape[1] > 1:
        raise ParameterError(
            "debias.method grid chooses between two classes, and the target has more. Choose another method."
        )
    return data.targets[:, 0] > 0.5


def plan_of(encoder: Encoder, params: TrainParams, n_rows: int) -> tuple[Network, Schedule, Ensemble]:
    """What `params` mean for `n_rows` training rows."""
    wanted = network_of(encoder, params), schedule_of(params), ensemble_of(params)
    return fitted(*wanted, n_rows, params.ample_rows)


def network_of(encoder: Encoder, params: TrainParams) -> Network:
    """The network that `params` describe, for rows of `encoder`."""
    return Network(
        n_codes=encoder.n_codes,
        n_coded=encoder.n_coded,
        numeric_width=encoder.numeric_width,
        hidden=tuple(params.hidden),
        n_outputs=len(encoder.classes) or 1,
        embedding_dim=params.embedding_dim,
        embedding_dropout=params.embedding_dropout,
        dropout=params.dropout,
        noise=params.noise,
        normalization=params.normalization,
        l1=params.l1,
        l2=params.l2,
    )


def schedule_of(params: TrainParams) -> Schedule:
    """How `params` want each network to be trained."""
    return Schedule(
        epochs=params.epochs,
        min_steps=params.min_steps,
        batch_size=params.batch_size,
        optimizer=params.optimizer,
        learning_rate=params.learning_rate,
        shape=params.schedule,
        warmup_share=params.warmup_share,
        decay=params.decay,
        weight_decay=params.weight_decay,
        clip_norm=params.clip_norm,
        label_smoothing=params.label_smoothing,
        focal_gamma=params.focal_gamma,
        precision=params.precision,
        patience=params.patience,
        min_gain=params.min_gain,
        seed=params.seed,
    )


def ensemble_of(params: TrainParams) -> Ensemble:
    """How many networks `params` want."""
    return Ensemble(params.ensemble, params.members, params.distilled)


def _curve_table(curve: Sequence[Epoch]) -> bytes:
    lines = ["epoch\tloss\tval_average_precision\tval_loss\tlearning_rate"]
    lines += [
        f"{e.epoch}\t{e.loss:.6f}\t{e.val_average_precision:.6f}\t{e.val_loss:.6f}\t{e.learning_rate:.8f}"
        for e in curve
    ]
    return ("\n".join(lines) + "\n").encode()


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments(
        "train", argv, "train", "validation", "transform", "key-id", "encoder", "model", "curve", "report"
    )
    params = load_params(TrainParams, args.params)
    with measured("train", args.report):
        vault = open_vault(params.project, args.key_id)
        inputs = [
            vault.read(args.train, role="resampled-train", schema=SCHEMA),
            vault.read(args.validation, role="debiased-validation", schema=SCHEMA),
            vault.read(args.transform, role="transform", schema=decorrelation.SCHEMA),
        ]
        checkpoint = SealedCheckpoint(vault, "train", inputs, params)
        train_rows, validation = (from_parquet(content, compact=True) for content in inputs[:2])
        transform = decorrelation.from_json(inputs[2])
        with Scalars(SCALARS) as scalars:
            secret = secret_of(vault, inputs, params)
            result = run(train_rows, validation, params, checkpoint, scalars.write, transform, secret)
        vault.write(args.encoder, result.encoder, role="encoder", schema=ENCODER_SCHEMA)
        vault.write(args.model, result.network, role="float-model", schema=saving.SCHEMA)
        write_atomic(args.curve, _curve_table(result.curve))
        write_report(args.report, result.report)
        checkpoint.discard()


if __name__ == "__main__":
    command(main)
