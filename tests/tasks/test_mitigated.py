"""A comparison of debiasing judges what each method decides about rows that its rule was not chosen on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lockstep.data.batches import TableBatches
from tasks import _mitigated
from tests.contracts.test_mitigations import PARTS, RESAMPLE, TRAIN, params
from tests.tasks.test_evaluate import EVALUATE

JUDGING = EVALUATE.model_copy(
    update={"sensitive": ["sex", "race"], "protect": ["sex"], "parity_reserve": 0.3, "min_group_rows": 100}
)
PUBLIC = {"sex": ["f", "m"], "race": ["black", "white"]}


def judged(method: Any) -> dict[str, Any]:
    settings = _mitigated.Settings(
        params(method, protect=["sex"]),
        RESAMPLE,
        TRAIN.model_copy(update={"sensitive": ["sex", "race"], "learning_rate": 0.01, "epochs": 2}),
        JUDGING.model_copy(update={"mitigation": method}),
    )
    parts = {name: TableBatches(PARTS[name]) for name in ("train", "validation")}
    return _mitigated.run(parts, PUBLIC, settings)


@pytest.mark.slow
def test_thresholds_trade_no_ranking_for_parity() -> None:
    plain, fair = judged("drop"), judged("thresholds")
    differences = ("demographic_parity_difference", "equalized_odds_difference")
    names = {f"{difference}:{name}" for difference in differences for name in ("sex", "race", "sex & race")}
    for found in (plain, fair):
        assert set(found["figures"]) == set(found["intervals"]) == {*_mitigated.QUALITY, *names}
        for name, figure in found["figures"].items():
            low, high = found["intervals"][name]
            assert 0 <= low <= high <= 1
            assert low - 0.02 <= figure <= high + 0.02
    for name in _mitigated.RANKING:
        assert fair["figures"][name] == plain["figures"][name]
    parity = "demographic_parity_difference:sex"
    assert fair["figures"][parity] < plain["figures"][parity]
    assert json.dumps(fair) == json.dumps(judged("thresholds"))


def test_groups_too_small_are_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.JUDGING", JUDGING.model_copy(update={"min_group_rows": 5000}))
    found = judged("drop")
    assert found["figures"]["demographic_parity_difference:sex"] is None
    assert found["intervals"]["equalized_odds_difference:race"] is None
