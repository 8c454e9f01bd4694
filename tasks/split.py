"""Stage `split`: train, validation and test, with rows of identical features or of one id on one side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from lockstep.data.batches import Batches, ParquetBatches, ParquetSink
from lockstep.data.columns import GROUP, SEEN
from lockstep.data.labels import Labels, labels_of
from lockstep.data.row_digests import identical_rows
from lockstep.data.splitting import Mask, hold_out, joined, latest, of_one_id, times_of
from lockstep.data.tables import SCHEMA, plain, require
from lockstep.errors import DataError, ParameterError
from lockstep.sealing.vault import open_vault
from tasks._params import Params, key, load_params
from tasks._stage import arguments, command, measured, write_report

PARTS = ("train", "validation", "test")


class SplitParams(Params):
    section = "split"

    project: str = key("project")
    target: str = key("data.target")
    positive: str | None = key("data.positive")
    sensitive: list[str] = key("data.sensitive")
    not_features: list[str] = key("data.not_features")
    split_column: str | None = key("data.split_column")
    time_column: str | None = key("data.time_column")
    id_column: str | None = key("data.id_column")
    validation_share: float = key("split.validation_share", gt=0, lt=0.9)
    test_share: float = key("split.test_share", gt=0, lt=0.9)
    seed: int = key("split.seed", ge=0)


class Split(NamedTuple):
    """Where each of n rows goes.

    Attributes
    ----------
    part
        0 for train, 1 for validation, 2 for test, -1 for a row that is left out; shape (n,).
    seen
        Whether a row of train or validation has the same features or id; shape (n,), true for test rows only.
    groups
        Groups of rows that stand on one side, shape (n,), among the rows of train and validation and, with other
        numbers, among the test rows; None where there is no id column.
    columns
        Of the source, that go along.
    report
        Counts.
    """

    part: npt.NDArray[np.int8]
    seen: Mask
    groups: npt.NDArray[np.int64] | None
    columns: list[str]
    report: dict[str, Any]

    def schema(self, name: str, source: pa.Schema) -> pa.Schema:
        """Columns of the part `name`."""
        schema = pa.schema([source.field(column) for column in self.columns])
        if self.groups is not None:
            schema = schema.append(pa.field(GROUP, pa.int64()))
        return schema.append(pa.field(SEEN, pa.bool_())) if name == "test" else schema

    def batches(self, source: Batches) -> Iterator[tuple[str, pa.RecordBatch]]:
        """Rows of all parts, in one go through `source`: each batch with the name of its part."""
        schemas = {name: self.schema(name, source.schema) for name in PARTS}
        start = 0
        for batch in source.batches(self.columns):
            rows = slice(start, start + batch.num_rows)
            start = rows.stop
            columns = [*batch.columns, *([] if self.groups is None else [pa.array(self.groups[rows])])]
            for number, name in enumerate(PARTS):
                own = [*columns, pa.array(self.seen[rows])] if name == "test" else columns
                whole = pa.record_batch(own, schema=schemas[name])
                yield name, whole.filter(pa.array(self.part[rows] == number))


def run(source: Batches, params: SplitParams) -> Split:
    """Split the source by its own column or by time where it has one, else stratified by class.

    Rows count as identical when they agree in all features but the sensitive ones: the model will not see
    those, so rows that differ in nothing else would leak just the same. A split by time never looks ahead: test rows
    are the latest, validation rows the latest before them, rows of one time on one side. An earlier row whose id occurs
    in a later part is left out, so that an id stands on one side there too; a twin in features is only marked.

    Returns
    -------
    Split
        Its parts, of which ``batches`` gives the rows: the columns of `params.not_features` and those of split, time
        and id are gone; ``test`` has a column ``lockstep:seen``, true where a row of train or validation has the same
        features or id. With an id column each part has a column ``lockstep:group``.

    Raises
    ------
    DataError
        A column is missing, a label is unknown or missing, or a class is too small to be split.
    """
    _refuse_double_roles(params)
    _require(source, [params.target], "data.target")
    labels = labels_of(source.read([params.target]), params.target, params.positive)
    _require(source, params.sensitive, "data.sensitive")
    _require(source, params.not_features, "data.not_features")
    dropped = {*params.not_features, params.split_column, params.time_column, params.id_column}
    columns = [name for name in source.schema.names if name not in dropped]
    all_features = [name for name in columns if name != params.target]
    seen_by_model = [name for name in all_features if name not in params.sensitive]
    if not seen_by_model:
        raise DataError("No feature is left beside the target, data.sensitive and data.not_features.")
    twins = identical_rows(source, seen_by_model)
    ids = _ids(source, params.id_column)
    kept = np.ones(source.num_rows, dtype=bool)
    if params.time_column is not None:
        test, validation, kept = _by_time(_times(source, params.time_column), ids, params)
        _require_classes(labels, {"train": kept & ~test & ~validation, "validation": validation})
    else:
        if params.split_column is None:
            test = hold_out(joined(twins, ids), labels.codes, params.test_share, params.seed)
        else:
            test = _own_test(source, params.split_column)
        validation = np.zeros(source.num_rows, dtype=bool)
        rest = np.flatnonzero(~test)
        # A test row must not decide: it may connect two training rows, or come before others in the numbering.
        validation[rest] = hold_out(
            joined(twins[rest], None if ids is None else ids[rest]),
            labels.codes[rest],
            params.validation_share,
            params.seed,
        )
    earlier = kept & ~test
    train = earlier & ~validation
    twin_seen = np.isin(twins[test], twins[earlier])
    seen = np.zeros(source.num_rows, dtype=bool)
    seen[test] = twin_seen if ids is None else twin_seen | np.isin(ids[test], ids[earlier])
    with_sensitive = identical_rows(source, all_features)
    report = {
        "split_by": params.split_column or params.time_column or "stratified",
        "train": _counts(labels, train),
        "validation": _counts(labels, validation),
        "test": _counts(labels, test),
        "test_rows_also_in_train": {
            "identical_in_all_features": _overlap(np.isin(with_sensitive[test], with_sensitive[earlier])),
            "identical_but_for_sensitive_features": _overlap(twin_seen),
        },
    }
    if not kept.all():
        report["left_out_for_a_later_row_of_the_id"] = _overlap(~kept)
    part = np.full(source.num_rows, -1, dtype=np.int8)
    for number, rows in enumerate((train, validation, test)):
        part[rows] = number
    return Split(part, seen, None if ids is None else _apart(twins, ids, test), columns, report)


def _apart(twins: npt.NDArray[np.int64], ids: npt.NDArray[np.int64], test: Mask) -> npt.NDArray[np.int64]:
    """Groups among the earlier rows, then those among the test rows."""
    groups = np.empty(len(test), dtype=np.int64)
    groups[~test] = joined(twins[~test], ids[~test])
    groups[test] = groups[~test].max() + 1 + joined(twins[test], ids[test])
    return groups


def _by_time(
    times: npt.NDArray[Any], ids: npt.NDArray[np.int64] | None, params: SplitParams
) -> tuple[Mask, Mask, Mask]:
    """Masks of the test rows, the validation rows, and all rows that are not left out."""
    test = latest(times, params.test_share)
    kept = np.ones(len(times), dtype=bool) if ids is None else test | ~np.isin(ids, ids[test])
    rest = np.flatnonzero(kept & ~test)
    validation = np.zeros(len(times), dtype=bool)
    if len(rest):
        validation[rest] = latest(times[rest], params.validation_share)
    if ids is not None:
        kept &= test | validation | ~np.isin(ids, ids[validation])
    return test, validation, kept


def _require_classes(labels: Labels, parts: Mapping[str, Mask]) -> None:
    for part, rows in parts.items():
        if len(np.unique(labels.codes[rows])) < len(labels.classes):
            raise DataError(
                f"The split by time leaves {part} {rows.sum():,} rows and not every class. Change split.test_share "
                "or split.validation_share, or bring more rows."
            )


def _require(source: Batches, names: Sequence[str], why: str) -> None:
    require(source.schema.empty_table(), names, why)


def _times(source: Batches, name: str) -> npt.NDArray[Any]:
    _require(source, [name], "data.time_column")
    return times_of(source.read([name])[name], name)


def _ids(source: Batches, name: str | None) -> npt.NDArray[np.int64] | None:
    if name is None:
        return None
    _require(source, [name], "data.id_column")
    return of_one_id(source.read([name])[name].to_pandas())


def _refuse_double_roles(params: SplitParams) -> None:
    if params.split_column is not None and params.time_column is not None:
        raise ParameterError(
            "data.split_column and data.time_column both split the rows. Set one of them to null."
        )
    own = [params.split_column, params.time_column, params.id_column]
    roles = [params.target, *params.sensitive, *params.not_features, *own]
    twice = sorted({name for name in roles if name is not None and roles.count(name) > 1})
    if twice:
        raise ParameterError(
            f"{twice} stand more than once among data.target, data.sensitive, data.not_features, data.split_column, "
            "data.time_column and data.id_column. A column has one role."
        )


def _own_test(source: Batches, split_column: str) -> Mask:
    _require(source, [split_column], "data.split_column")
    column = plain(source.read([split_column])[split_column])
    if set(pc.unique(column).to_pylist()) != {"train", "test"}:
        raise DataError(
            f"data.split_column {split_column!r} must hold 'train' and 'test' and nothing else. "
            "Correct it at the source, or set data.split_column to null."
        )
    return np.asarray(pc.equal(column, "test").to_numpy(), dtype=bool)


def _counts(labels: Labels, rows: Mask) -> dict[str, Any]:
    counts = labels.counts(rows)
    if "n_positive" in counts:
        counts["positive_share"] = round(counts["n_positive"] / counts["n_rows"], 6)
    return counts


def _overlap(seen: Mask) -> dict[str, Any]:
    return {"n_rows": int(seen.sum()), "share": round(float(seen.mean()), 6)}


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments("split", argv, "source", "key-id", "train", "validation", "test", "report")
    params = load_params(SplitParams, args.params)
    with measured("split", args.report):
        vault = open_vault(params.project, args.key_id)
        with vault.reader(args.source, role="source", schema=SCHEMA) as file:
            source = ParquetBatches(file, str(args.source))
            split = run(source, params)
            with ExitStack() as stack:
                sinks = {}
                for part in PARTS:
                    target = stack.enter_context(vault.writer(getattr(args, part), role=part, schema=SCHEMA))
                    sinks[part] = ParquetSink(target, split.schema(part, source.schema))
                for part, batch in split.batches(source):
                    sinks[part].write(batch)
                for sink in sinks.values():
                    sink.close()
        write_report(args.report, split.report)


if __name__ == "__main__":
    command(main)
