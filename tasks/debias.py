"""Stage `debias`: mitigates bias by the chosen method, and keeps the sensitive features for the audit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from lockstep.data import columns, decorrelation
from lockstep.data.batches import Batches, ParquetBatches, write_parquet
from lockstep.data.decorrelation import Decorrelation
from lockstep.data.expectations import parse_suite, public_categories
from lockstep.data.labels import flag, labels_of
from lockstep.data.row_digests import identical_rows
from lockstep.data.selection import Selection
from lockstep.data.splitting import joined
from lockstep.data.tables import SCHEMA, is_category, raw_columns, read_bytes, require, values_of
from lockstep.errors import DataError
from lockstep.fairness import correlation_remover, reweighing
from lockstep.fairness.association import codes_of, cramers_v
from lockstep.fairness.groups import base_rates, group_names
from lockstep.fairness.methods import Method
from lockstep.fairness.predictability import drawn, predictability
from lockstep.sealing.vault import open_vault
from tasks._groups import groups_of, protected, require_two_classes
from tasks._params import Params, key, load_params
from tasks._stage import arguments, command, measured, write_report

PARTS = ("train", "validation", "test")


class DebiasParams(Params):
    section = "debias"
    elsewhere = frozenset({"debias.constraint", "debias.adversary_weight", "debias.grid_size"})

    project: str = key("project")
    target: str = key("data.target")
    positive: str | None = key("data.positive")
    sensitive: list[str] = key("data.sensitive")
    split_column: str | None = key("data.split_column")
    time_column: str | None = key("data.time_column")
    min_category_rows: int = key("data.min_category_rows", ge=1)
    method: Method = key("debias.method")
    protect: list[str] | None = key("debias.protect")
    proxy_threshold: float = key("debias.proxy_threshold", gt=0, le=1)
    seed: int = key("debias.seed", ge=0)


class Debiased(NamedTuple):
    """What a model is made from.

    Attributes
    ----------
    parts
        The rows by part, each sensitive feature under its audit name, and with the test rows each proxy that was
        dropped. They are read from the tables that were given, as
        often as it takes.
    transform
        What the encoder takes in.
    report
        Counts and statistics.
    """

    parts: dict[str, Selection]
    transform: Decorrelation | None
    report: dict[str, Any]


class Fitted(NamedTuple):
    """What a method found on training rows: a weight of each, shape (n,), or a transform for the encoder."""

    weights: npt.NDArray[np.float32] | None = None
    transform: Decorrelation | None = None


def run(parts: Mapping[str, Batches], public: Mapping[str, Sequence[str]], params: DebiasParams) -> Debiased:
    """Drop sensitive features and the features that tell of them, and fit the method that goes beyond that.

    Parameters
    ----------
    parts
        The tables ``train``, ``validation`` and, where they are at hand, ``test``, in this order. Everything is
        measured and fitted on ``train`` alone.
    public
        Categories by column that a report may name.

    Returns
    -------
    Debiased
        The report has how all features are associated with all sensitive ones (Cramér's V) and tell of them
        (cross-validated ROC AUC). Rows that only a dropped feature told apart move to ``train`` where they would stand
        on two sides of a split of Lockstep's own; not of one by time, where that would look ahead.

    Raises
    ------
    DataError
        A sensitive feature is missing, no feature is left, or too few rows are left apart.
    ParameterError
        debias.protect names what is no sensitive feature, or the method is not for so many classes.
    """
    train = parts["train"]
    require(train.schema.empty_table(), params.sensitive, "data.sensitive")
    protected(params.sensitive, params.protect)
    require_two_classes(params.method, params.positive)
    candidates = [
        name for name in columns.features(train.schema.names, params.target) if name not in params.sensitive
    ]
    associations = _associations(train, candidates, params.sensitive)
    proxies = [
        f for f, found in associations.items() if max(found.values(), default=0.0) > params.proxy_threshold
    ]
    dropped = [] if params.method == "none" else [*proxies, *params.sensitive]
    report: dict[str, Any] = {
        "method": params.method,
        "protected": protected(params.sensitive, params.protect),
        "associations": associations,
        "proxies_dropped": [f for f in proxies if f in dropped],
        "sensitive_dropped": [s for s in params.sensitive if s in dropped],
        "features": [f for f in columns.features(train.schema.names, params.target) if f not in dropped],
        "labels_by_group": _labels_by_group(train, public, params),
    }
    if not report["features"]:
        raise DataError(
            f"Every feature counts as a proxy at debias.proxy_threshold {params.proxy_threshold}. Raise it."
        )
    # With the test rows proxies travel along, too: a champion that reads them is compared on these rows.
    beside = {"test": [*params.sensitive, *report["proxies_dropped"]]}
    kept = {name: _without(part, dropped, beside.get(name, params.sensitive)) for name, part in parts.items()}
    if report["proxies_dropped"]:
        kept, report["rows_moved_to_train"] = _keep_apart(kept, params, proxies)
    fitted = fit(kept["train"], params)
    report["predictability"] = _predictability(train, candidates, params)
    left = [name for name in candidates if name not in dropped]
    if fitted.transform or left != candidates:
        report["predictability_left"] = _predictability(train, left, params, fitted.transform)
    if fitted.weights is not None:
        kept["train"] = kept["train"].extended(columns.WEIGHT, pa.array(fitted.weights))
        report["weights"] = {"lowest": float(fitted.weights.min()), "highest": float(fitted.weights.max())}
    return Debiased(kept, fitted.transform, report)


def fit(train: Batches, params: DebiasParams) -> Fitted:
    """Fit what the method changes in training rows, whose sensitive features stand under their audit names."""
    names = protected(params.sensitive, params.protect)
    if params.method == "correlation":
        sensitive = raw_columns(train.read([columns.audit(name) for name in names]), names)
        transform = correlation_remover.fit(_numbers(train, params), sensitive, params.min_category_rows)
        return Fitted(transform=transform)
    if params.method == "reweighing":
        table = train.read([params.target, *map(columns.audit, names)])
        codes = labels_of(table, params.target, params.positive).codes
        return Fitted(reweighing.weights(codes, groups_of(table, names, params.min_category_rows)))
    return Fitted()


def _numbers(train: Batches, params: DebiasParams) -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
    """Each numeric feature, one at a time in memory."""
    for name in columns.features(train.schema.names, params.target):
        if not is_category(train.schema.field(name).type):
            yield from raw_columns(train.read([name]), [name]).items()


def _series(table: Batches, name: str) -> pd.Series[Any]:
    return table.read([name]).to_pandas()[name]


def _associations(
    train: Batches, candidates: Sequence[str], sensitive: Sequence[str]
) -> dict[str, dict[str, float]]:
    groups = {name: codes_of(_series(train, name)) for name in sensitive}
    found = {}
    for feature in candidates:
        codes = codes_of(_series(train, feature))
        found[feature] = {name: round(cramers_v(codes, of_group), 6) for name, of_group in groups.items()}
    return found


def _labels_by_group(
    train: Batches, public: Mapping[str, Sequence[str]], params: DebiasParams
) -> dict[str, Any]:
    labels = labels_of(train.read([params.target]), params.target, params.positive)
    return {
        s: base_rates(
            *labels, group_names(values_of(train.read([s])[s]), public.get(s, ()), params.min_category_rows)
        )
        for s in params.sensitive
    }


def _predictability(
    train: Batches, names: Sequence[str], params: DebiasParams, transform: Decorrelation | None = None
) -> dict[str, Any]:
    """How well each sensitive feature is told from the columns `names`, as the encoder meets them."""
    found = {}
    for s in params.sensitive:
        of_row = _series(train, s).factorize()[0]
        rows = np.zeros(train.num_rows, dtype=bool)
        # A missing value is a group, too.
        rows[drawn(np.where(of_row < 0, of_row.max(initial=-1) + 1, of_row), params.seed)] = True
        table = Selection([train], {name: name for name in train.schema.names}, [rows]).read()
        frame = table.to_pandas()
        features = {name: frame[name] for name in names}
        if transform:
            changed = transform.apply(raw_columns(table, [*transform.changed, *transform.names]))
            features |= {n: pd.Series(changed[n]) for n in transform.changed if n in features}
        found[s] = predictability(features, frame[s].to_numpy(dtype=object), params.seed)
    return found


def _keep_apart(
    parts: Mapping[str, Selection], params: DebiasParams, proxies: Sequence[str]
) -> tuple[dict[str, Selection], int]:
    """Keep rows that are identical without the dropped proxies on one side, as `split` did with them."""
    tables = list(parts.values())
    own = {name: name for name in parts["train"].schema.names}
    whole = Selection(tables, own)
    twins = identical_rows(whole, columns.features(own, params.target))
    ids = whole.read([columns.GROUP])[columns.GROUP].to_numpy() if columns.GROUP in own else None
    names = np.array(list(parts))
    sizes = [table.num_rows for table in tables]
    side = np.repeat(np.arange(len(names), dtype=np.int8), sizes)
    before, test = side.copy(), names == "test"
    if params.time_column is None:
        # The source's own test rows stay where they are, and must not connect others.
        movable = np.flatnonzero(~test[side] if params.split_column is not None else side >= 0)
        groups, moved = joined(twins[movable], None if ids is None else ids[movable]), side[movable]
        moved[test[moved] & np.isin(groups, groups[~test[moved]])] = 0
        moved[(names[moved] == "validation") & np.isin(groups, groups[moved == 0])] = 0
        side[movable] = moved
    labels = labels_of(whole.read([params.target]), params.target, params.positive)
    for number, part in enumerate(names):
        if len(np.unique(labels.codes[side == number])) < len(labels.classes):
            raise DataError(
                f"Without the proxies {list(proxies)} too few rows differ to keep {part} rows of every class apart "
                "from the others. Raise debias.proxy_threshold, or bring more features."
            )
    ends = np.cumsum(sizes)[:-1]
    kept = {part: Selection(tables, own, np.split(side == number, ends)) for number, part in enumerate(parts)}
    if "test" in parts:
        seen = np.isin(twins, twins[~test[side]])
        # By features or by id, before the proxies were dropped.
        seen[-sizes[-1] :] |= flag(parts["test"].read([columns.SEEN]), columns.SEEN)
        kept["test"] = Selection(
            [parts["test"]],
            {name: name for name in parts["test"].schema.names if name != columns.SEEN},
            [test[side[-sizes[-1] :]]],
            {columns.SEEN: pa.array(seen[test[side]])},
        )
    return kept, int(np.sum(side != before))


def _without(part: Batches, dropped: Sequence[str], beside: Sequence[str]) -> Selection:
    """The columns that stay, those of Lockstep last, among them what travels `beside` the features."""
    names = [name for name in part.schema.names if name not in dropped and name != columns.SEEN]
    marks = [columns.SEEN] if columns.SEEN in part.schema.names else []
    own = {name: name for name in [*names, *marks]} | {columns.audit(name): name for name in beside}
    return Selection([part], own)


def main(argv: Sequence[str] | None = None) -> None:
    outputs = tuple(f"{part}-out" for part in PARTS)
    args = arguments("debias", argv, *PARTS, "expectations", "key-id", *outputs, "transform", "report")
    params = load_params(DebiasParams, args.params)
    with measured("debias", args.report):
        vault = open_vault(params.project, args.key_id)
        suite = parse_suite(read_bytes(args.expectations), str(args.expectations))
        with ExitStack() as stack:
            parts = {}
            for part in PARTS:
                path = getattr(args, part)
                file = stack.enter_context(vault.reader(path, role=part, schema=SCHEMA))
                parts[part] = ParquetBatches(file, str(path))
            result = run(parts, public_categories(suite), params)
            for part, rows in result.parts.items():
                with vault.writer(
                    getattr(args, f"{part}_out"), role=f"debiased-{part}", schema=SCHEMA
                ) as out:
                    write_parquet(out, rows)
        vault.write(
            args.transform,
            decorrelation.to_json(result.transform),
            role="transform",
            schema=decorrelation.SCHEMA,
        )
        write_report(args.report, result.report)


if __name__ == "__main__":
    command(main)
