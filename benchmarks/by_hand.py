"""What the first stages do, as somebody would write it for this one table: pandas, scikit-learn, Great Expectations.

Nothing is sealed, no bound is kept on memory, and nothing looks at a parameter. `python -m benchmarks.data script`
compares it with the stages.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

SENSITIVE = ["sex", "race"]
TARGET, POSITIVE = "income", "50000+."
PARTS = ("train", "validation", "test")


def validate(source: Path, suite: Path, report: Path = Path("validate.json")) -> None:
    """Great Expectations on the whole table in one frame."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    bars: Any = {"globally": False, "metric_calculations": False}
    context.variables.progress_bars = bars
    batch = (
        context.data_sources.add_pandas("census")
        .add_dataframe_asset("census")
        .add_batch_definition_whole_dataframe("whole")
        .get_batch({"dataframe": pd.read_parquet(source)})
    )
    expectations = json.loads(suite.read_text(encoding="utf-8"))["expectations"]
    outcome = batch.validate(
        gx.ExpectationSuite(name="census", expectations=expectations), result_format="BOOLEAN_ONLY"
    )
    if not outcome.success:
        raise SystemExit("The table breaks its suite.")
    report.write_text(json.dumps([bool(result.success) for result in outcome.results]), encoding="utf-8")


def encrypt(source: Path) -> None:
    """A copy, in clear."""
    pq.write_table(pq.read_table(source), "source.parquet", compression="zstd")


def split() -> None:
    """Validation rows drawn by groups of identical rows, each class alike; test rows marked that occur before."""
    frame = pd.read_parquet("source.parquet")
    is_test = (frame.pop("split") == "test").to_numpy()
    frame = frame.drop(columns="instance_weight")
    features = [name for name in frame if name != TARGET]
    seen, positive = {}, (frame[TARGET] == POSITIVE).to_numpy()
    for key, names in {"all": features, "fair": [n for n in features if n not in SENSITIVE]}.items():
        group = frame.groupby(names, dropna=False, sort=False).ngroup()
        seen[key] = is_test & group.isin(group[~is_test]).to_numpy()
    rows = pd.DataFrame({"group": group, "positive": positive})[~is_test]
    groups = rows.groupby("group")["positive"].agg(["max", "size"]).sample(frac=1, random_state=20)
    by_class = groups.groupby("max")["size"]
    chosen = groups.index[by_class.cumsum() <= 0.1 * by_class.transform("sum")]
    is_validation = ~is_test & group.isin(chosen).to_numpy()
    masks = {"train": ~is_test & ~is_validation, "validation": is_validation, "test": is_test}
    for part, mask in masks.items():
        own = frame[mask]
        if part == "test":
            own = own.assign(seen=seen["fair"][mask])
        own.to_parquet(f"{part}.parquet", compression="zstd")
    counts = {part: [int(mask.sum()), int(positive[mask].sum())] for part, mask in masks.items()}
    counts["seen"] = [int(mask.sum()) for mask in seen.values()]
    Path("split.json").write_text(json.dumps(counts), encoding="utf-8")


def debias() -> None:
    """Association and predictability of the sensitive features on train, which are dropped, and kept for the audit."""
    parts = {part: pd.read_parquet(f"{part}.parquet") for part in PARTS}
    train = parts["train"]
    features = [name for name in train if name != TARGET and name not in SENSITIVE]
    levels = train[features].apply(_levels)
    found: dict[str, Any] = {"associations": {}, "predictability": {}, "labels": {}}
    for sensitive in SENSITIVE:
        groups = pd.factorize(train[sensitive])[0]
        for name in features:
            found["associations"][f"{name} {sensitive}"] = _cramers_v(levels[name], groups)
        found["labels"][sensitive] = (train[TARGET] == POSITIVE).groupby(train[sensitive]).mean().to_dict()
        found["predictability"][sensitive] = _predictability(levels, groups)
    for part, frame in parts.items():
        frame.rename(columns={name: f"audit:{name}" for name in SENSITIVE}).to_parquet(
            f"debiased-{part}.parquet", compression="zstd"
        )
    Path("debias.json").write_text(json.dumps(found), encoding="utf-8")


def _levels(column: pd.Series[Any]) -> Any:
    """Number of each row's value; of a number's decile."""
    if pd.api.types.is_numeric_dtype(column):
        column = pd.Series(pd.qcut(column, 10, labels=False, duplicates="drop"), column.index)
    return pd.factorize(column)[0] + 1


def _cramers_v(levels: pd.Series[Any], groups: Any) -> float:
    from scipy.stats.contingency import association

    return float(association(pd.crosstab(levels, groups).to_numpy(), method="cramer"))


def _predictability(levels: pd.DataFrame, groups: Any) -> dict[str, float]:
    """Cross-validated ROC AUC of the groups from each feature and from all together, on 20,000 rows."""
    from scipy.stats import rankdata
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.preprocessing import OneHotEncoder

    rows = np.random.default_rng(20).choice(len(groups), 20_000, replace=False)
    sample, groups = levels.iloc[rows].reset_index(drop=True), groups[rows]
    folds = list(StratifiedKFold(5, shuffle=True, random_state=20).split(groups, groups))
    of_group = pd.get_dummies(pd.Series(groups), dtype=float)

    def area(scores: Any, rows: Any) -> float:
        one_each = of_group.iloc[rows].to_numpy()
        n, ranks = one_each.sum(axis=0), rankdata(scores, axis=0)
        won = (ranks * one_each).sum(axis=0) - n * (n + 1) / 2
        return float(np.average(won / (n * (len(rows) - n)), weights=n))

    found = {}
    for name, column in sample.items():
        areas = []
        for fit, judge in folds:
            shares = of_group.iloc[fit].groupby(column.iloc[fit]).mean()
            areas.append(area(shares.reindex(column.iloc[judge]).fillna(0.0).to_numpy(), judge))
        found[str(name)] = float(np.mean(areas))
    indicators = OneHotEncoder(max_categories=200).fit_transform(sample)
    areas = []
    for fit, judge in folds:
        model = LogisticRegression(C=0.1, tol=1e-2, max_iter=1000).fit(indicators[fit], groups[fit])
        areas.append(area(model.predict_proba(indicators[judge]), judge))
    found["together"] = float(np.mean(areas))
    return found
