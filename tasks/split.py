"""Stage `split`: train, validation and test, with rows of identical features on one side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from lockstep.data.columns import SEEN
from lockstep.data.labels import binary_labels
from lockstep.data.splitting import Mask, hold_out, identical
from lockstep.data.tables import SCHEMA, from_parquet, require, to_parquet
from lockstep.errors import DataError, ParameterError
from lockstep.sealing.vault import open_vault
from tasks._params import Params, key, load_params
from tasks._stage import arguments, command, measured, write_report


class SplitParams(Params):
    section = "split"

    project: str = key("project")
    target: str = key("data.target")
    positive: str = key("data.positive")
    sensitive: list[str] = key("data.sensitive")
    not_features: list[str] = key("data.not_features")
    split_column: str | None = key("data.split_column")
    validation_share: float = key("split.validation_share", gt=0, lt=0.9)
    test_share: float = key("split.test_share", gt=0, lt=0.9)
    seed: int = key("split.seed", ge=0)


class Split(NamedTuple):
    train: pa.Table
    validation: pa.Table
    test: pa.Table
    report: dict[str, Any]


def run(source: pa.Table, params: SplitParams) -> Split:
    """Split the source by its own column where it has one, else stratified by class.

    Rows count as identical when they agree in all features but the sensitive ones: the model will not see
    those, so rows that differ in nothing else would leak just the same.

    Returns
    -------
    Split
        The columns of `params.not_features` and the split column are gone; ``test`` has a column
        ``lockstep:seen``, true where a row of train or validation has the same features.

    Raises
    ------
    DataError
        A column is missing, a label is unknown or missing, or a class is too small to be split.
    """
    _refuse_double_roles(params)
    labels = binary_labels(source, params.target, params.positive)
    require(source, params.sensitive, "data.sensitive")
    require(source, params.not_features, "data.not_features")
    dropped = {*params.not_features, params.split_column}
    table = source.select([name for name in source.column_names if name not in dropped])
    all_features = [name for name in table.column_names if name != params.target]
    seen_by_model = [name for name in all_features if name not in params.sensitive]
    if not seen_by_model:
        raise DataError("No feature is left beside the target, data.sensitive and data.not_features.")
    frame = table.to_pandas()
    groups = identical(frame, seen_by_model)
    if params.split_column is None:
        test = hold_out(groups, labels, params.test_share, params.seed)
    else:
        test = _own_test(source, params.split_column)
    validation = np.zeros(len(table), dtype=bool)
    train_rows = np.flatnonzero(~test)
    validation[train_rows] = hold_out(
        groups[train_rows], labels[train_rows], params.validation_share, params.seed
    )
    seen = np.isin(groups[test], groups[~test])
    with_sensitive = identical(frame, all_features)
    report = {
        "split_by": "stratified" if params.split_column is None else params.split_column,
        "train": _counts(labels[~test & ~validation]),
        "validation": _counts(labels[validation]),
        "test": _counts(labels[test]),
        "test_rows_also_in_train": {
            "identical_in_all_features": _overlap(np.isin(with_sensitive[test], with_sensitive[~test])),
            "identical_but_for_sensitive_features": _overlap(seen),
        },
    }
    return Split(
        table.filter(pa.array(~test & ~validation)),
        table.filter(pa.array(validation)),
        table.filter(pa.array(test)).append_column(SEEN, pa.array(seen)),
        report,
    )


def _refuse_double_roles(params: SplitParams) -> None:
    roles = [params.target, *params.sensitive, *params.not_features, params.split_column]
    twice = sorted({name for name in roles if name is not None and roles.count(name) > 1})
    if twice:
        raise ParameterError(
            f"{twice} stand more than once among data.target, data.sensitive, data.not_features and data.split_column. "
            "A column has one role."
        )


def _own_test(source: pa.Table, split_column: str) -> Mask:
    require(source, [split_column], "data.split_column")
    parts = np.array(source[split_column].to_pylist(), dtype=object)
    if set(parts) != {"train", "test"}:
        raise DataError(
            f"data.split_column {split_column!r} must hold 'train' and 'test' and nothing else. "
            "Correct it at the source, or set data.split_column to null."
        )
    return np.equal(parts, "test").astype(bool)


def _counts(labels: Mask) -> dict[str, Any]:
    return {
        "n_rows": len(labels),
        "n_positive": int(labels.sum()),
        "positive_share": round(float(labels.mean()), 6),
    }


def _overlap(seen: Mask) -> dict[str, Any]:
    return {"n_rows": int(seen.sum()), "share": round(float(seen.mean()), 6)}


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments("split", argv, "source", "key-id", "train", "validation", "test", "report")
    params = load_params(SplitParams, args.params)
    with measured("split"):
        vault = open_vault(params.project, args.key_id)
        split = run(from_parquet(vault.read(args.source, role="source", schema=SCHEMA)), params)
        vault.write(args.train, to_parquet(split.train), role="train", schema=SCHEMA)
        vault.write(args.validation, to_parquet(split.validation), role="validation", schema=SCHEMA)
        vault.write(args.test, to_parquet(split.test), role="test", schema=SCHEMA)
        write_report(args.report, split.report)


if __name__ == "__main__":
    command(main)
