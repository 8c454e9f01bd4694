"""Parameters are read by key, and what is wrong with one is said by its name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lockstep.errors import ParameterError
from tasks._params import Params, Section, key, load_params, parse_params
from tasks.evaluate import EvaluateParams
from tests.conftest import ROOT


class Inner(Section):
    roc_auc: float


class Example(Params):
    section = "split"

    target: str = key("data.target")
    share: float = key("split.share", gt=0, lt=1)
    gates: Inner = key("evaluate.gates")


GOOD = "data: {target: y, other: 1}\nsplit: {share: 0.5}\nevaluate: {gates: {roc_auc: 0.9}}\n"


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    return path


def test_keys_are_read_by_their_path(tmp_path: Path) -> None:
    params = load_params(Example, write(tmp_path, GOOD))
    assert (params.target, params.share, params.gates.roc_auc) == ("y", 0.5, 0.9)
    assert Example.keys() == {"data.target", "split.share", "evaluate.gates"}
    assert Example(target="y", share=0.5, gates=Inner(roc_auc=0.9)) == params


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("share: 0.5", "share: 2"), r"split\.share: Input should be less than 1\. Received: 2\."),
        (("share: 0.5", "share: half"), r"split\.share: Input should be a valid number.*Received: 'half'"),
        (("target: y", "traget: y"), r"data\.target is missing: add it to"),
        (("roc_auc: 0.9", "roc_auc: 0.9, auc: 1"), r"evaluate\.gates\.auc is not a parameter of Lockstep"),
        (("share: 0.5", "share: 0.5, shrae: 1"), r"split\.shrae is not a parameter of Lockstep"),
        (("share: 0.5", "shrae: 1"), r"split\.share is missing.*\nsplit\.shrae is not a parameter"),
        (("{roc_auc: 0.9}", "{}"), r"evaluate\.gates\.roc_auc is missing"),
        ((GOOD, "- a\n"), "must be a mapping of sections. Received: list"),
        ((GOOD, "a: ["), "is no YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        load_params(Example, write(tmp_path, GOOD.replace(*change)))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="does not exist"):
        load_params(Example, tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("sensitive", "message"),
    [
        (["sex", "race", "age"], r"no threshold .*\['age'\]"),
        (["sex"], r"\['race'\], which data\.sensitive does not"),
    ],
)
def test_thresholds_that_do_not_go_with_the_sensitive_features_are_refused_as_they_are_read(
    sensitive: list[str], message: str
) -> None:
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    document["data"]["sensitive"] = sensitive
    with pytest.raises(
        ParameterError, match=rf"evaluate\.gates\.demographic_parity_difference has .*{message}"
    ):
        parse_params(EvaluateParams, document, "params.yaml")
