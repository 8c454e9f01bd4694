"""A rule decides a row alike whenever it is asked, and reads back what it wrote."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockstep.bundle.decision import Decision, Steps
from lockstep.data.encoding import Encoder, Input
from lockstep.errors import ModelError
from tests.lockstep.bundle.candidate import rows

N = 4000
TABLE = rows(N)
ENCODER = Encoder.fit(TABLE, bins=6, min_value_rows=5)
PROBABILITY = np.random.default_rng(1).random(N)
COIN = Steps(0.2, 0.6, 0.0, 0.3, 1.0)
RULE = Decision(
    0.5,
    (Input("sector", "category"),),
    {("public",): COIN, ("private",): Steps(0.4, 0.4, 0.0, 0.5, 1.0)},
    None,
    7,
)


def codes(rule: Decision, taken: Any) -> np.ndarray:
    table = {name: values[taken] for name, values in TABLE.items()}
    return rule.codes(PROBABILITY[taken], table, ENCODER.encode)


def test_one_threshold_and_the_likeliest_need_no_row() -> None:
    def never(table: Any) -> Any:
        raise AssertionError

    assert Decision(0.3).codes(np.array([0.29, 0.3]), {}, never).tolist() == [0, 1]
    assert Decision(None).codes(np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]]), {}, never).tolist() == [2, 0]


def test_a_row_is_decided_alone_as_among_others() -> None:
    whole = codes(RULE, np.arange(N))
    order = np.random.default_rng(2).permutation(N)
    assert np.array_equal(codes(RULE, order), whole[order])
    for row in range(60):
        assert codes(RULE, np.array([row])) == whole[row]


def test_coins_fall_as_often_as_their_chance_and_another_seed_tosses_others() -> None:
    between = (PROBABILITY > 0.2) & (PROBABILITY <= 0.6) & (TABLE["sector"] == "public")
    found = codes(RULE, np.arange(N))
    assert found[between].mean() == pytest.approx(0.3, abs=4 * (0.21 / between.sum()) ** 0.5)
    other = codes(replace(RULE, seed=8), np.arange(N))
    assert 0.3 < (found[between] != other[between]).mean() < 0.55
    sure = (PROBABILITY > 0.6) | (PROBABILITY <= 0.2)
    assert np.array_equal(found[sure], other[sure])
    table = {"sector": TABLE["sector"]}
    assert RULE.by_coin(PROBABILITY, table) == pytest.approx(between.mean(), abs=1e-12)


def test_a_row_of_no_group_has_the_others_steps_or_the_one_threshold() -> None:
    unknown = {**TABLE, "sector": np.array([None, "club"] * (N // 2), dtype=object)}
    assert np.array_equal(RULE.codes(PROBABILITY, unknown, ENCODER.encode), PROBABILITY >= 0.5)
    others = replace(RULE, others=Steps(0.9, 0.9, 0.0, 0.0, 1.0))
    assert np.array_equal(others.codes(PROBABILITY, unknown, ENCODER.encode), PROBABILITY > 0.9)


chances = st.floats(0, 1)
steps = st.builds(Steps, chances, chances, chances, chances, chances)


@given(
    st.builds(
        Decision,
        st.none() | chances,
        st.just((Input("a", "category"), Input("b", "numeric"))),
        st.dictionaries(st.tuples(st.text(), st.text()), steps),
        st.none() | steps,
        st.integers(0),
    )
)
def test_it_reads_back_what_it_wrote(rule: Decision) -> None:
    assert Decision.from_json(rule.to_json()) == rule
    assert rule.content() == (rule.to_json() if rule.groups else b"")


@pytest.mark.parametrize("change", [{"version": 2}, {"format": "other"}])
def test_another_format_is_named(change: dict[str, Any]) -> None:
    document = {**json.loads(RULE.to_json()), **change}
    with pytest.raises(ModelError, match="no decision of version 1"):
        Decision.from_json(json.dumps(document).encode())
