"""Stage `compress`: int8 LiteRT beside the float network; the smallest within tolerance ships."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from lockstep.bundle.scorer import MODEL_SCHEMA, Scorer
from lockstep.compression.convert import convert, sample_rows
from lockstep.data.encoding import ENCODER_SCHEMA, Encoder
from lockstep.data.features import Features
from lockstep.data.labels import labels_of, refuse_made_rows
from lockstep.data.tables import SCHEMA, RawColumns, from_parquet, raw_columns
from lockstep.evaluation.metrics import ranking
from lockstep.models import saving
from lockstep.sealing.vault import open_vault
from tasks._params import Params, key, load_params
from tasks._stage import arguments, command, measured, write_report

REFERENCE = "float32"

HEAVY = ("tensorflow", "keras")
"""What takes long to import: a flow may do so ahead, beside the stages before."""


class CompressParams(Params):
    section = "compress"

    project: str = key("project")
    target: str = key("data.target")
    positive: str | None = key("data.positive")
    max_average_precision_drop: float = key("compress.max_average_precision_drop", ge=0)
    max_roc_auc_drop: float = key("compress.max_roc_auc_drop", ge=0)
    max_brier_rise: float = key("compress.max_brier_rise", ge=0)
    calibration_rows: int = key("compress.calibration_rows", ge=1)
    seed: int = key("compress.seed", ge=0)


class Compressed(NamedTuple):
    shipped: bytes
    candidates: dict[str, bytes]
    report: dict[str, Any]


def run(
    encoder: Encoder, network: bytes, train: pa.Table, validation: pa.Table, params: CompressParams
) -> Compressed:
    """Convert the network and choose what ships, judged on the validation rows.

    Parameters
    ----------
    encoder, network
        What `train` made.
    train
        Training rows; some of them set the ranges of int8 activations.
    validation
        Validation rows, as no sampler touched them.

    Raises
    ------
    ModelError
        The converter failed.
    """
    refuse_made_rows(validation, "validation")
    names = [column.name for column in encoder.inputs]
    chosen = train.take(sample_rows(len(train), params.calibration_rows, params.seed))
    candidates = convert(network, encoder.encode(raw_columns(chosen, names)))
    features = encoder.encode_compact(RawColumns(validation, names))
    labels = labels_of(validation, params.target, params.positive, encoder.classes).codes
    figures = {
        name: ranking(labels, Scorer(encoder, model).score(features)) for name, model in candidates.items()
    }
    changes = {name: _change(figures[name], figures[REFERENCE]) for name in candidates}
    within = [name for name in candidates if _tolerable(changes[name], params)]
    shipped = min(within, key=lambda name: len(candidates[name]))
    report = {
        "shipped": shipped,
        "candidates": {
            name: {
                "bytes": len(model),
                "size_ratio": round(len(model) / len(candidates[REFERENCE]), 4),
                "validation": figures[name],
                "change": changes[name],
                "within_tolerance": name in within,
            }
            for name, model in candidates.items()
        },
    }
    return Compressed(candidates[shipped], candidates, report)


def _change(figures: Mapping[str, float], reference: Mapping[str, float]) -> dict[str, float]:
    return {name: figures[name] - reference[name] for name in reference}


def _tolerable(change: Mapping[str, float], params: CompressParams) -> bool:
    return (
        -change["average_precision"] <= params.max_average_precision_drop
        and -change["roc_auc"] <= params.max_roc_auc_drop
        and change["brier"] <= params.max_brier_rise
    )


def _microseconds_per_row(encoder: Encoder, model: bytes) -> float:
    one = Features(
        np.zeros((1, encoder.numeric_width), dtype=np.float32),
        np.zeros((1, encoder.n_coded), dtype=np.int32),
    )
    scorer = Scorer(encoder, model)
    scorer.score(one)
    times = []
    for _ in range(200):
        started = time.perf_counter()
        scorer.score(one)
        times.append(time.perf_counter() - started)
    return round(float(np.median(times)) * 1e6, 1)


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments(
        "compress",
        argv,
        "encoder",
        "network",
        "train",
        "validation",
        "key-id",
        "model",
        "reference",
        "report",
    )
    params = load_params(CompressParams, args.params)
    with measured("compress", args.report) as figures:
        vault = open_vault(params.project, args.key_id)
        encoder = Encoder.from_json(vault.read(args.encoder, role="encoder", schema=ENCODER_SCHEMA))
        result = run(
            encoder,
            vault.read(args.network, role="float-model", schema=saving.SCHEMA),
            from_parquet(vault.read(args.train, role="debiased-train", schema=SCHEMA), compact=True),
            from_parquet(
                vault.read(args.validation, role="debiased-validation", schema=SCHEMA), compact=True
            ),
            params,
        )
        figures["microseconds_per_row"] = {
            name: _microseconds_per_row(encoder, model) for name, model in result.candidates.items()
        }
        float_model = result.candidates[REFERENCE]
        vault.write(args.reference, float_model, role="reference-model", schema=MODEL_SCHEMA)
        vault.write(args.model, result.shipped, role="model", schema=MODEL_SCHEMA)
        write_report(args.report, result.report)


if __name__ == "__main__":
    command(main)
