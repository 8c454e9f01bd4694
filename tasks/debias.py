"""Stage `debias`: takes the sensitive features and their proxies away from the model, and keeps them for the audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from lockstep.data import columns
from lockstep.data.expectations import parse_suite, public_categories
from lockstep.data.labels import binary_labels, flag
from lockstep.data.splitting import identical, joined
from lockstep.data.tables import SCHEMA, from_parquet, read_bytes, require, to_parquet
from lockstep.errors import DataError
from lockstep.fairness.association import cramers_v
from lockstep.fairness.groups import base_rates, group_names
from lockstep.sealing.vault import open_vault
from tasks._params import Params, key, load_params
from tasks._stage import arguments, command, measured, write_report

PARTS = ("train", "validation", "test")


class DebiasParams(Params):
    section = "debias"

    project: str = key("project")
    target: str = key("data.target")
    positive: str = key("data.positive")
    sensitive: list[str] = key("data.sensitive")
    split_column: str | None = key("data.split_column")
    time_column: str | None = key("data.time_column")
    min_category_rows: int = key("data.min_category_rows", ge=1)
    drop_sensitive: bool = key("debias.drop_sensitive")
    proxy_threshold: float = key("debias.proxy_threshold", gt=0, le=1)


class Debiased(NamedTuple):
    parts: dict[str, pa.Table]
    report: dict[str, Any]


def run(parts: Mapping[str, pa.Table], public: Mapping[str, Sequence[str]], params: DebiasParams) -> Debiased:
    """Drop sensitive features and the features that tell of them.

    Parameters
    ----------
    parts
        The tables ``train``, ``validation`` and ``test``. Associations are measured on ``train`` alone.
    public
        Categories by column that a report may name.

    Returns
    -------
    Debiased
        The tables, where each sensitive feature stands under its audit name, and the associations of all
        features with all sensitive ones (Cramér's V). Rows that only a proxy told apart move to ``train`` where
        they would stand on two sides of a split of Lockstep's own; not of one by time, where that would look ahead.

    Raises
    ------
    DataError
        A sensitive feature is missing, no feature is left, or too few rows are left apart.
    """
    train = parts["train"]
    require(train, params.sensitive, "data.sensitive")
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
    dropped = [*proxies, *(params.sensitive if params.drop_sensitive else [])]
    labels = binary_labels(train, params.target, params.positive)
    report: dict[str, Any] = {
        "associations": associations,
        "proxies_dropped": proxies,
        "sensitive_dropped": params.sensitive if params.drop_sensitive else [],
        "features": [f for f in columns.features(train.column_names, params.target) if f not in dropped],
        "labels_by_group": {
            s: base_rates(
                labels, group_names(train[s].to_pylist(), public.get(s, ()), params.min_category_rows)
            )
            for s in params.sensitive
        },
    }
    if not report["features"]:
        raise DataError(
            f"Every feature counts as a proxy at debias.proxy_threshold {params.proxy_threshold}. Raise it."
        )
    kept = {name: _without(table, dropped, params.sensitive) for name, table in parts.items()}
    if proxies:
        kept, report["rows_moved_to_train"] = _keep_apart(kept, params, proxies)
    return Debiased(kept, report)


def _keep_apart(
    parts: Mapping[str, pa.Table], params: DebiasParams, proxies: Sequence[str]
) -> tuple[dict[str, pa.Table], int]:
    """Keep rows that are identical without the dropped proxies on one side, as `split` did with them."""
    whole = pa.concat_tables(parts[part].select(parts["train"].column_names) for part in PARTS)
    names = columns.features(whole.column_names, params.target)
    twins = groups = identical(whole.select(names).to_pandas(), names)
    if columns.GROUP in whole.column_names:
        groups = joined(twins, whole[columns.GROUP].to_numpy())
    side = np.repeat(PARTS, [len(parts[part]) for part in PARTS])
    before = side.copy()
    if params.time_column is None:
        if params.split_column is None:
            side[(side == "test") & np.isin(groups, groups[side != "test"])] = "train"
        side[(side == "validation") & np.isin(groups, groups[side == "train"])] = "train"
    labels = binary_labels(whole, params.target, params.positive)
    for part in PARTS:
        if not 0 < labels[side == part].sum() < np.sum(side == part):
            raise DataError(
                f"Without the proxies {list(proxies)} too few rows differ to keep {part} rows of both classes apart "
                "from the others. Raise debias.proxy_threshold, or bring more features."
            )
    kept = {part: whole.filter(pa.array(side == part)) for part in PARTS}
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
    args = arguments("debias", argv, *PARTS, "expectations", "key-id", *outputs, "report")
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
        write_report(args.report, result.report)


if __name__ == "__main__":
    command(main)
