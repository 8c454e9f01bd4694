"""Association with sensitive features, and rates by group."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lockstep.fairness.association import codes_of
from lockstep.fairness.association import cramers_v as of_codes
from lockstep.fairness.groups import audit, base_rates, differences, group_names


def cramers_v(feature: pd.Series, sensitive: pd.Series) -> float:
    return of_codes(codes_of(feature), codes_of(sensitive))


def test_association_of_a_copy_is_one_and_of_noise_zero() -> None:
    rng = np.random.default_rng(0)
    sex = pd.Series(rng.choice(["f", "m"], 5000))
    assert cramers_v(sex.map({"f": "x", "m": "y"}), sex) == pytest.approx(1.0, abs=1e-3)
    assert cramers_v(pd.Series(rng.choice(list("abcdef"), 5000)), sex) < 0.03
    assert cramers_v(pd.Series(["same"] * 5000), sex) == 0.0


def test_numbers_and_gaps_count_too() -> None:
    rng = np.random.default_rng(1)
    sex = pd.Series(rng.choice(["f", "m"], 5000))
    height = pd.Series(rng.normal(np.where(sex == "m", 180, 165), 5))
    assert cramers_v(height, sex) > 0.8
    told_by_gap = pd.Series(rng.normal(size=5000)).where(sex == "m")
    assert cramers_v(told_by_gap, sex) == pytest.approx(1.0, abs=1e-2)


def test_bias_correction_agrees_with_bergsma() -> None:
    feature = pd.Series(["a"] * 30 + ["b"] * 30)
    sensitive = pd.Series(["x"] * 20 + ["y"] * 10 + ["x"] * 10 + ["y"] * 20)
    chi2 = 4 * 5**2 / 15
    phi2 = max(0.0, chi2 / 60 - 1 / 59)
    size = 2 - 1 / 59
    assert cramers_v(feature, sensitive) == pytest.approx((phi2 / (size - 1)) ** 0.5)


def test_group_names_hide_what_is_not_public() -> None:
    values = ["White", "White", "Black", "Martian", None]
    assert group_names(values, ["White", "Black"], 2).tolist() == [
        "White",
        "White",
        "(other)",
        "(other)",
        "(missing)",
    ]


def test_rates_by_group_are_those_of_the_counts() -> None:
    labels = np.array([1, 1, 0, 0, 1, 0, 0, 0], dtype=bool)
    decisions = np.array([1, 0, 1, 0, 1, 0, 0, 0], dtype=bool)
    groups = np.array(["a"] * 4 + ["b"] * 4, dtype=object)
    by_group = audit(labels, decisions, groups)
    assert by_group["a"] == {
        "n_rows": 4,
        "n_positive": 2,
        "selection_rate": 0.5,
        "true_positive_rate": 0.5,
        "false_positive_rate": 0.5,
    }
    assert by_group["b"]["true_positive_rate"] == 1.0
    assert differences(labels, decisions, groups) == {
        "demographic_parity_difference": 0.25,
        "equalized_odds_difference": 0.5,
    }
    assert base_rates(labels.astype(int), ("no", "yes"), groups) == {
        "groups": {"a": {"n_rows": 4, "positive_share": 0.5}, "b": {"n_rows": 4, "positive_share": 0.25}},
        "demographic_parity_difference": 0.25,
    }


def test_rates_agree_with_fairlearn_on_single_rows() -> None:
    from fairlearn.metrics import MetricFrame, equalized_odds_difference, selection_rate, true_positive_rate

    rng = np.random.default_rng(2)
    labels, decisions = rng.random(3000) < 0.2, rng.random(3000) < 0.3
    groups = rng.choice(["a", "b", "c"], 3000).astype(object)
    rates = {"selection_rate": selection_rate, "true_positive_rate": true_positive_rate}
    frame = MetricFrame(metrics=rates, y_true=labels, y_pred=decisions, sensitive_features=groups).by_group
    for name, group in audit(labels, decisions, groups).items():
        for rate in rates:
            assert group[rate] == pytest.approx(frame.loc[name, rate], abs=1e-12)
    assert differences(labels, decisions, groups)["equalized_odds_difference"] == pytest.approx(
        equalized_odds_difference(labels, decisions, sensitive_features=groups), abs=1e-12
    )
