"""Membership inference finds whom a model knows by heart, and nobody else; its figures are those of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.metrics import roc_auc_score, roc_curve

from lockstep.data import columns
from lockstep.data.encoding import Encoder
from lockstep.data.features import Features
from lockstep.evaluation.membership import (
    attack,
    is_evidence,
    judgeable_rate,
    matched,
    rate_interval,
    true_positive_rates,
)
from tasks._membership import MembershipParams, attack_membership, audience_of

RNG = np.random.default_rng(8)


@pytest.mark.parametrize("digits", [8, 1])
def test_figures_are_those_of_scikit_learn(digits: int) -> None:
    # With one digit many scores are equal.
    members, others = (
        np.round(RNG.normal(0.3, 1.0, 4000), digits),
        np.round(RNG.normal(0.0, 1.0, 3000), digits),
    )
    found = attack(members, others, 0.01, 1)
    is_member = np.repeat([True, False], [4000, 3000])
    scores = np.concatenate((members, others))
    fpr, tpr, _ = roc_curve(is_member, scores, drop_intermediate=False)
    assert found["true_positive_rate"] == pytest.approx(np.interp(0.01, fpr, tpr), abs=1e-12)
    assert found["roc_auc"] == pytest.approx(roc_auc_score(is_member, scores), abs=1e-12)
    for point in found["roc"]:
        expected = np.interp(point["false_positive_rate"], fpr, tpr)
        assert point["true_positive_rate"] == pytest.approx(expected, abs=1e-12)
    low, high = found["interval"]
    assert low < found["true_positive_rate"] < high


@given(st.integers(0, 2**32), st.sampled_from([0.0, 0.5]), st.sampled_from([3, 12]))
def test_equal_scores_neither_help_nor_hide(seed: int, shift: float, digits: int) -> None:
    rng = np.random.default_rng(seed)
    members, others = np.round(rng.normal(shift, 1, 60), digits), np.round(rng.normal(0, 1, 50), digits)
    rates = np.linspace(0.0, 1.0, 21)
    found = true_positive_rates(members, others, rates)
    assert np.all(np.diff(found) >= 0)
    assert found[-1] == 1.0
    assert np.allclose(true_positive_rates(np.zeros(5), np.zeros(9), rates), rates)
    assert np.array_equal(true_positive_rates(members * 8, others * 8, rates), found)


def test_a_rate_at_which_the_curve_rises_has_the_whole_rise() -> None:
    for n_others in range(2, 200):
        # The members lie between the first of the others and the second.
        rates = true_positive_rates(
            np.full(3, 1.5), np.array([2.0, *np.zeros(n_others - 1)]), np.array([1 / n_others])
        )
        assert rates == [1.0]


@pytest.mark.parametrize("separation", [0.0, 2.0])
def test_the_interval_holds_the_truth_as_often_as_it_says(separation: float) -> None:
    from scipy.stats import norm

    rate, held, rounds = 0.01, 0, 200
    truth = norm.sf(norm.isf(rate) - separation)
    for _ in range(rounds):
        low, high = rate_interval(RNG.normal(separation, 1, 2000), RNG.normal(0, 1, 1500), rate, 1)
        held += low <= truth <= high
    assert held >= 0.95 * rounds
    # More rows tell more.
    few = rate_interval(RNG.normal(0, 1, 1000), RNG.normal(0, 1, 1000), rate, 1)
    many = rate_interval(RNG.normal(0, 1, 50_000), RNG.normal(0, 1, 50_000), rate, 1)
    assert many[1] - many[0] < few[1] - few[0]
    assert rate_interval(np.ones(20), np.zeros(20), 0.05, 1)[1] == 1.0


def test_members_are_drawn_with_the_classes_of_the_others() -> None:
    members, others = RNG.integers(0, 2, 5000), (RNG.random(3000) < 0.1).astype(int)
    of_members, of_others = matched(members, others, 2000, np.random.default_rng(0))
    assert len(of_others) == 2000
    assert members[of_members].mean() == pytest.approx(others[of_others].mean(), abs=1e-3)
    assert len(np.unique(of_members)) == len(of_members) == 2000
    few, _ = matched(members[:50], others, 2000, np.random.default_rng(0))
    assert 20 < len(few) < 50
    assert len(matched(np.zeros(9, dtype=int), np.ones(9, dtype=int), 5, np.random.default_rng(0))[0]) == 0


def test_few_rows_are_no_evidence() -> None:
    assert is_evidence(10_000, 10_000, 0.001)
    assert not is_evidence(10_000, 9_999, 0.001)
    assert [judgeable_rate(n) for n in (40_000, 3_000, 500)] == [0.001, 0.01, 0.1]


# A table whose labels no feature tells: a model can only learn them by heart.
SIZE = 3000
TABLE = pa.table(
    {
        "x": RNG.normal(size=SIZE),
        "job": RNG.choice(["clerk", "cook"], SIZE),
        "y": np.where(RNG.random(SIZE) < 0.3, "yes", "no"),
        columns.audit("sex"): RNG.choice(["f", "m"], SIZE, p=[0.9, 0.1]),
    }
)
TRAIN, VALIDATION, TEST = TABLE.slice(0, 1200), TABLE.slice(1200, 600), TABLE.slice(1800)
ENCODER = Encoder.fit(
    {"x": TRAIN["x"].to_numpy(), "job": np.array(TRAIN["job"].to_pylist(), dtype=object)}, 8, 5
)
PARAMS = MembershipParams(
    target="y", positive="yes", sensitive=["sex"], min_category_rows=5,
    attacked_rows=1000, attack_false_positive_rate=0.02, seed=1,
)  # fmt: skip


class Memory:
    """Says the label of a share of the training rows with certainty, and 0.3 of every other row."""

    encoder = ENCODER

    def __init__(self, share: float) -> None:
        known = self._keys(ENCODER.encode({n: TRAIN[n].to_numpy(zero_copy_only=False) for n in ("x", "job")}))
        labels = np.array(TRAIN["y"].to_pylist()) == "yes"
        kept = np.random.default_rng(3).random(len(known)) < share
        self.heart = {key: label for key, label, keep in zip(known, labels, kept, strict=True) if keep}

    @staticmethod
    def _keys(features: Features) -> list[bytes]:
        return [a.tobytes() + b.tobytes() for a, b in zip(features.numeric, features.codes, strict=True)]

    def score(self, features: Features) -> Any:
        return np.array(
            [expit(12.0 * self.heart[k] - 6.0) if k in self.heart else 0.3 for k in self._keys(features)]
        )


def attacked(scorer: Any, threshold: float | None = 0.06, **changes: Any) -> Any:
    thresholds = {"membership_inference": threshold, "membership_inference_auc": threshold and 0.6}
    public = {"sex": ["f", "m"]}
    return attack_membership(
        scorer, TRAIN, VALIDATION, TEST, public, PARAMS.model_copy(update=changes), thresholds
    )


def test_a_model_that_knows_rows_by_heart_fails_the_gate() -> None:
    gate, by_area = attacked(Memory(0.3)).gates
    assert (gate.gate, gate.verdict) == ("membership_inference", "fail")
    assert (by_area.gate, by_area.verdict) == ("membership_inference_auc", "fail")
    assert gate.figure == pytest.approx(0.3, abs=0.05)
    assert gate.interval[0] > 0.06


def test_a_model_that_knows_none_passes_the_gate() -> None:
    found = attacked(Memory(0.0))
    gate, by_area = found.gates
    assert gate.verdict == by_area.verdict == "pass"
    report = found.report["membership"]
    assert report["n_members"] + report["n_others"] == gate.n_rows
    assert 0.45 < report["attacks"]["loss"]["roc_auc"] < 0.55
    assert set(report["by_group"]["sex"]["groups"]) == {"f"}
    assert report["by_group"]["sex"]["left_out"] == ["m"]
    assert attacked(Memory(0.3), None).gates == ()
    unclear, _ = attacked(Memory(0.0), attack_false_positive_rate=0.001).gates
    assert (unclear.verdict, unclear.figure) == ("insufficient evidence", None)


def test_rows_that_stand_in_training_too_are_not_attacked() -> None:
    twice = TRAIN.slice(0, 100)
    train = pa.concat_tables([TRAIN, twice])
    made = np.zeros(len(train) + 50, dtype=bool)
    made[-50:] = True
    train = pa.concat_tables([train, TRAIN.slice(200, 50)]).append_column(columns.MADE, pa.array(made))
    test = pa.concat_tables([TEST, TRAIN.slice(500, 300)])
    members, others = audience_of(Memory(0.0), train, VALIDATION, test, PARAMS)  # type: ignore[arg-type]
    seen = set(TRAIN["x"].to_pylist())
    assert not seen & set(others.rows["x"].to_pylist())
    assert not set(twice["x"].to_pylist()) & set(members.rows["x"].to_pylist())
    # What a sampler repeated is still one person's row.
    assert set(members.rows["x"].to_pylist()) & set(TRAIN.slice(200, 50)["x"].to_pylist())
    assert members.codes.mean() == pytest.approx(others.codes.mean(), abs=0.01)
