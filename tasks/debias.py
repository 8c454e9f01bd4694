"""Stage `debias`: mitigates bias by the chosen method, and keeps the sensitive features for the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from lockstep.data import columns, decorrelation
from lockstep.data.decorrelation import Decorrelation
from lockstep.data.expectations import parse_suite, public_categories
from lockstep.data.labels import flag, labels_of
from lockstep.data.splitting import identical, joined
from lockstep.data.tables import SCHEMA, from_parquet, raw_columns, read_bytes, require, to_parquet
from lockstep.errors import DataError
from lockstep.fairness import correlation_remover, reweighing
from lockstep.fairness.association import cramers_v
from lockstep.fairness.groups import base_rates, group_names
from lockstep.fairness.methods import Method
from lockstep.fairness.predictability import predictability
from lockstep.sealing.vault import open_vault
from tasks._groups import groups_of, protected
from tasks._params import Params, key, load_params
from tasks._stage import arguments, command, measured, write_report

if TYPE_CHECKING:
    import pandas as pd

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
    parts: dict[str, pa.Table]
    transform: Decorrelation | None
    report: dict[str, Any]


class Fitted(NamedTuple):
    train: pa.Table
    transform: Decorrelation | None


def run(parts: Mapping[str, pa.Table], public: Mapping[str, Sequence[str]], params: DebiasParams) -> Debiased:
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
        The tables, where each sensitive feature stands under its audit name; the transform that the encoder takes in;
        and how all features are associated with all sensitive ones (Cramér's V) and tell of them (cross-validated ROC
        AUC). Rows that only a dropped feature told apart move to ``train`` where they would stand on two sides of a
        split of Lockstep's own; not of one by time, where that would look ahead.

    Raises
    ------
    DataError
        A sensitive feature is missing, no feature is left, or too few rows are left apart.
    ParameterError
        debias.protect names what is no sensitive feature.
    """
    train = parts["train"]
    require(train, params.sensitive, "data.sensitive")
    protected(params.sensitive, params.protect)
    frame = train.to_pandas()
    candidates = [
        name for name in columns.features(train.column_names, params.target) if name not in params.sensitive
    ]
    associations = {
        feature: {s: round(cramers_v(frame[feature], frame[s]), 6) for s in params.sensitive}
        for feature in candidates
    }
    proxies = [
        f for f, found in associations.items() if max(found.values(), default=0.0) > params.proxy_threshold
    ]
    dropped = [] if params.method == "none" else [*proxies, *params.sensitive]
    labels = labels_of(train, params.target, params.positive)
    report: dict[str, Any] = {
        "method": params.method,
        "protected": protected(params.sensitive, params.protect),
        "associations": associations,
        "proxies_dropped": [f for f in proxies if f in dropped],
        "sensitive_dropped": [s for s in params.sensitive if s in dropped],
        "features": [f for f in columns.features(train.column_names, params.target) if f not in dropped],
        "labels_by_group": {
            s: base_rates(
                *labels, group_names(train[s].to_pylist(), public.get(s, ()), params.min_category_rows)
            )
            for s in params.sensitive
        },
    }
    if not report["features"]:
        raise DataError(
            f"Every feature counts as a proxy at debias.proxy_threshold {params.proxy_threshold}. Raise it."
        )
    kept = {name: _without(table, dropped, params.sensitive) for name, table in parts.items()}
    if report["proxies_dropped"]:
        kept, report["rows_moved_to_train"] = _keep_apart(kept, params, proxies)
    fitted = fit(kept["train"], params)
    report["predictability"] = _predictability(frame, candidates, params)
    left = [name for name in candidates if name not in dropped]
    if fitted.transform or left != candidates:
        report["predictability_left"] = _predictability(
            _as_encoded(kept["train"], left, fitted), left, params
        )
    if columns.WEIGHT in fitted.train.column_names:
        weights = fitted.train[columns.WEIGHT].to_numpy()
        report["weights"] = {"lowest": float(weights.min()), "highest": float(weights.max())}
    return Debiased({**kept, "train": fitted.train}, fitted.transform, report)


def fit(train: pa.Table, params: DebiasParams) -> Fitted:
    """Fit what the method changes in the training rows.

    Parameters
    ----------
    train
        Rows whose sensitive features stand under their audit names.

    Returns
    -------
    Fitted
        The rows, with the column ``lockstep:weight`` where the method weighs them, and the transform for the
        encoder where it has one.
    """
    names = protected(params.sensitive, params.protect)
    if params.method == "correlation":
        features = raw_columns(train, columns.features(train.column_names, params.target))
        return Fitted(
            train, correlation_remover.fit(features, raw_columns(train, names), params.min_category_rows)
        )
    if params.method == "reweighing":
        codes = labels_of(train, params.target, params.positive).codes
        weights = reweighing.weights(codes, groups_of(train, names, params.min_category_rows))
        return Fitted(train.append_column(columns.WEIGHT, pa.array(weights)), None)
    return Fitted(train, None)


def _predictability(frame: pd.DataFrame, names: Sequence[str], params: DebiasParams) -> dict[str, Any]:
    """How well each sensitive feature is told from the columns `names` of `frame`."""
    features = {name: frame[name] for name in names}
    return {
        s: predictability(features, frame[s].to_numpy(dtype=object), params.seed) for s in params.sensitive
    }


def _as_encoded(train: pa.Table, names: Sequence[str], fitted: Fitted) -> pd.DataFrame:
    """Features as the encoder meets them, beside the sensitive ones."""
    frame = train.to_pandas().rename(columns=columns.unaudited)
    if fitted.transform:
        raw = raw_columns(train, [*fitted.transform.changed, *fitted.transform.names])
        frame = frame.assign(**{n: v for n, v in fitted.transform.apply(raw).items() if n in names})
    return frame


def _keep_apart(
    parts: Mapping[str, pa.Table], params: DebiasParams, proxies: Sequence[str]
) -> tuple[dict[str, pa.Table], int]:
    """Keep rows that are identical without the dropped proxies on one side, as `split` did with them."""
    whole = pa.concat_tables(table.select(parts["train"].column_names) for table in parts.values())
    names = columns.features(whole.column_names, params.target)
    twins = groups = identical(whole.select(names).to_pandas(), names)
    if columns.GROUP in whole.column_names:
        groups = joined(twins, whole[columns.GROUP].to_numpy())
    side = np.repeat(list(parts), list(map(len, parts.values())))
    before = side.copy()
    if params.time_column is None:
        if params.split_column is None:
            side[(side == "test") & np.isin(groups, groups[side != "test"])] = "train"
        side[(side == "validation") & np.isin(groups, groups[side == "train"])] = "train"
    labels = labels_of(whole, params.target, params.positive)
    for part in parts:
        if len(np.unique(labels.codes[side == part])) < len(labels.classes):
            raise DataError(
                f"Without the proxies {list(proxies)} too few rows differ to keep {part} rows of every class apart "
                "from the others. Raise debias.proxy_threshold, or bring more features."
            )
    kept = {part: whole.filter(pa.array(side == part)) for part in parts}
    if "test" in parts:
        seen = np.isin(twins, twins[side != "test"])
        # By features or by id, before the proxies were dropped.
        seen[-len(parts["test"]) :] |= flag(parts["test"], columns.SEEN)
        kept["test"] = kept["test"].append_column(columns.SEEN, pa.array(seen[side == "test"]))
    return kept, int(np.sum(side != before))


def _without(table: pa.Table, dropped: Sequence[str], sensitive: Sequence[str]) -> pa.Table:
    kept = table.select([name for name in table.column_names if name not in dropped])
    for name in sensitive:
        kept = kept.append_column(columns.audit(name), table[name])
    return kept


def main(argv: Sequence[str] | None = None) -> None:
    outputs = tuple(f"{part}-out" for part in PARTS)
    args = arguments("debias", argv, *PARTS, "expectations", "key-id", *outputs, "transform", "report")
    params = load_params(DebiasParams, args.params)
    with measured("debias"):
        vault = open_vault(params.project, args.key_id)
        parts = {
            part: from_parquet(vault.read(getattr(args, part), role=part, schema=SCHEMA)) for part in PARTS
        }
        suite = parse_suite(read_bytes(args.expectations), str(args.expectations))
        result = run(parts, public_categories(suite), params)
        for part, table in result.parts.items():
            vault.write(
                getattr(args, f"{part}_out"), to_parquet(table), role=f"debiased-{part}", schema=SCHEMA
            )
        vault.write(
            args.transform,
            decorrelation.to_json(result.transform),
            role="transform",
            schema=decorrelation.SCHEMA,
        )
        write_report(args.report, result.report)


if __name__ == "__main__":
    command(main)
