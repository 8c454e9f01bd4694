"""Stage `resample`: balances the classes of the training rows, and marks the rows that it made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lockstep.balance.fidelity import fidelity
from lockstep.balance.methods import METHODS, resample
from lockstep.balance.rows import Codes, Columns, Synthetic
from lockstep.data import decorrelation
from lockstep.data.columns import MADE, WEIGHT, features
from lockstep.data.decorrelation import Decorrelation
from lockstep.data.labels import Labels, labels_of
from lockstep.data.tables import SCHEMA, from_parquet, raw_columns, to_parquet
from lockstep.sealing.vault import open_vault
from tasks._params import Params, key, load_params
from tasks._stage import arguments, command, measured, write_report


class ResampleParams(Params):
    section = "resample"

    project: str = key("project")
    target: str = key("data.target")
    positive: str | None = key("data.positive")
    method: Literal[
        "none",
        "over",
        "under",
        "weights",
        "smote",
        "smotenc",
        "adasyn",
        "smote_enn",
        "tomek",
        "near_miss",
        "ctgan",
    ] = key("resample.method")
    ratio: float = key("resample.ratio", gt=0, le=1)
    seed: int = key("resample.seed", ge=0)


class Resampled(NamedTuple):
    train: pa.Table
    report: dict[str, Any]


def run(train: pa.Table, params: ResampleParams, transform: Decorrelation | None = None) -> Resampled:
    """Resample the training rows.

    Parameters
    ----------
    transform
        What `debias` has the encoder take from the features. A synthetic row has no sensitive feature, so that nothing
        would be taken from it: it is made from rows of which that is taken already.

    Returns
    -------
    Resampled
        The rows with ``lockstep:made`` (bool) and ``lockstep:weight`` (float32), and the balance before and after.
        Synthetic rows stand last; they have features and a label, and no sensitive feature for the audit: they are
        nobody. How much they are like real ones is reported.
    """
    labels = labels_of(train, params.target, params.positive)
    codes = labels.codes
    columns: Columns = {}
    if METHODS[params.method].reads_features:
        names = features(train.column_names, params.target)
        columns = raw_columns(train, names)
        if transform:
            shifted = transform.apply(raw_columns(train, [*transform.changed, *transform.names]))
            columns = {name: shifted[name] if name in transform.changed else columns[name] for name in names}
    rows, made, weights, synthetic = resample(params.method, columns, codes, params.ratio, params.seed)
    # A copy of a large table would be the most that the stage holds.
    table = train if np.array_equal(rows, np.arange(len(train))) else train.take(rows)
    after = Labels(codes[rows], labels.classes)
    report: dict[str, Any] = {"method": params.method, "before": labels.counts()}
    if synthetic is not None and len(synthetic.codes):
        table = pa.concat_tables([table, _table_of(synthetic, train, codes, params.target)])
        after = Labels(np.concatenate((after.codes, synthetic.codes)), labels.classes)
        report["fidelity"] = _fidelity(columns, codes, synthetic, params.seed)
    if WEIGHT in table.column_names:
        weights = weights * pc.fill_null(table[WEIGHT], pa.scalar(1.0, pa.float32())).to_numpy()
        table = table.drop_columns([WEIGHT])
    table = table.append_column(MADE, pa.array(made)).append_column(WEIGHT, pa.array(weights))
    report["after"] = {
        **after.counts(),
        "n_made": int(made.sum()),
        **_weight_shares(after, weights),
    }
    return Resampled(table, report)


def _table_of(synthetic: Synthetic, train: pa.Table, codes: Codes, target: str) -> pa.Table:
    """Synthetic rows as rows of `train`."""
    n_rows = len(synthetic.codes)
    first = {code: int(np.flatnonzero(codes == code)[0]) for code in np.unique(synthetic.codes)}
    arrays = []
    for field in train.schema:
        if field.name == target:
            arrays.append(train[target].take([first[code] for code in synthetic.codes]).combine_chunks())
        elif field.name in synthetic.columns:
            arrays.append(_typed(synthetic.columns[field.name], field.type))
        else:
            arrays.append(pa.nulls(n_rows, field.type))
    return pa.table(arrays, schema=train.schema)


def _typed(raw: Any, dtype: pa.DataType) -> pa.Array:
    values = pa.array(raw, from_pandas=True)
    if pa.types.is_dictionary(dtype):
        return pc.cast(pc.dictionary_encode(pc.cast(values, dtype.value_type)), dtype)
    if pa.types.is_integer(dtype):
        # What a transform shifted is whole no more, and a cast would cut.
        values = pc.round(values, round_mode="half_to_even")
    return pc.cast(values, dtype, safe=False)


def _fidelity(columns: Columns, codes: Codes, synthetic: Synthetic, seed: int) -> dict[str, Any]:
    """Of the class that has the most synthetic rows."""
    code = int(np.bincount(synthetic.codes).argmax())
    real, made = codes == code, synthetic.codes == code
    return fidelity(
        {name: raw[real] for name, raw in columns.items()},
        {name: raw[made] for name, raw in synthetic.columns.items()},
        seed,
    )


def _weight_shares(labels: Labels, weights: npt.NDArray[np.float32]) -> dict[str, Any]:
    shares = [
        round(float(np.average(labels.codes == code, weights=weights)), 6)
        for code in range(len(labels.classes))
    ]
    if len(shares) == 2:
        return {"positive_weight_share": shares[1]}
    return {"weight_share_by_class": dict(zip(labels.classes, shares, strict=True))}


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments("resample", argv, "train", "transform", "key-id", "resampled", "report")
    params = load_params(ResampleParams, args.params)
    with measured("resample", args.report):
        vault = open_vault(params.project, args.key_id)
        train = from_parquet(vault.read(args.train, role="debiased-train", schema=SCHEMA))
        transform = vault.read(args.transform, role="transform", schema=decorrelation.SCHEMA)
        result = run(train, params, decorrelation.from_json(transform))
        vault.write(args.resampled, to_parquet(result.train), role="resampled-train", schema=SCHEMA)
        write_report(args.report, result.report)


if __name__ == "__main__":
    command(main)
