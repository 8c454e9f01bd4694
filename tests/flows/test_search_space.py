"""What a search may change is judged before its first trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from flows import _yaml
from flows._search_space import Domain, SearchParams, present, require_usable
from lockstep.errors import ParameterError
from tasks._params import load_params
from tests.conftest import ROOT
from tests.conftest import stages as stages_of

STAGES = stages_of(ROOT)
READERS = {
    name: ([STAGES[name]["cmd"]], set(STAGES[name]["params"])) for name in ("split", "resample", "train")
}
GOOD = {"train.dropout": {"low": 0.0, "high": 0.5}}


def params(tmp_path: Path, space: dict[str, Any]) -> SearchParams:
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump({"search": {"trials": 3, "seed": 1, "space": space}}))
    return load_params(SearchParams, path)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({}, r"search\.space: .* at least 1 item"),
        ({"train.dropout": {}}, r"search\.space\.train\.dropout: .*needs `low` and `high`, or `choices`"),
        ({"train.dropout": {"low": 0.1}}, r"train\.dropout: .*needs `low` and `high`"),
        ({"train.dropout": {"low": 0.5, "high": 0.1}}, r"train\.dropout: .*`low` not below `high`"),
        ({"train.dropout": {"low": "a", "high": 1}}, r"train\.dropout\.low: .*must be a number\. Received: 'a'"),
        ({"train.l2": {"low": 0, "high": 1.0, "log": True}}, r"train\.l2: .*`low` that is not above 0"),
        ({"train.hidden": {"choices": [[8]]}}, r"train\.hidden: .*at least two different choices"),
        ({"train.hidden": {"choices": [1, 2], "low": 1}}, r"train\.hidden: .*not both"),
        ({"train.dropout": {"min": 0.1, "max": 0.2}}, r"search\.space\.train\.dropout\.min is not a parameter"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_space_is_named(tmp_path: Path, space: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        params(tmp_path, space)


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"evaluate.seed": {"low": 1, "high": 9}}, r"evaluate\.seed, which neither `train` nor a stage before"),
        ({"split.seed": {"low": 1, "high": 9}}, r"split\.seed, which changes the validation rows \(stage split\)"),
        ({"data.target": {"choices": ["a", "b"]}}, r"data\.target, which changes the validation rows"),
        ({"train.dropout": {"low": 0.1, "high": 1.0}}, r"train\.dropout: Input should be less than 1\. Received: 1"),
        ({"train.epochs": {"low": 0.5, "high": 9.5}}, r"train\.epochs: Input should be a valid integer"),
        ({"resample.method": {"choices": ["over", "smoted"]}}, r"resample\.method: .*Received: 'smoted'"),
    ],
)  # fmt: skip
def test_a_space_that_a_stage_could_not_use(tmp_path: Path, space: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        require_usable(
            params(tmp_path, GOOD | space), _yaml.load(ROOT / "params.yaml"), READERS, {"split"}, ROOT
        )


def test_the_default_space_can_be_searched() -> None:
    document = _yaml.load(ROOT / "params.yaml")
    require_usable(load_params(SearchParams, ROOT / "params.yaml"), document, READERS, {"split"}, ROOT)


def test_values_are_written_as_stages_read_them() -> None:
    rate = Domain(low=0.0005, high=0.01, log=True)
    assert rate.text(0.00312345678) == "0.003123"
    assert float(rate.text(0.00999999999)) <= 0.01
    assert Domain(low=1, high=9).text(4) == "4"
    hidden = Domain(choices=[[256, 256], [64]])
    assert [hidden.text(choice) for choice in hidden.distribution().choices] == ["[256, 256]", "[64]"]


def test_the_present_values_are_found_where_the_space_has_them() -> None:
    space = {"a.b": Domain(low=1, high=9), "c": Domain(choices=[[1], [2]])}
    assert present(space, {"a": {"b": 4}, "c": [2]}) == {"a.b": 4, "c": "[2]"}
    assert present(space, {"a": {"b": 10}, "c": [2]}) is None
    assert present(space, {"a": {"b": 4.5}, "c": [2]}) is None
    assert present(space, {"a": {}, "c": [2]}) is None
    zero = {"a": Domain(choices=[0, 1])}
    assert present(zero, {"a": 0.0}) == {"a": "0"}
    assert present(zero, {"a": False}) is None
