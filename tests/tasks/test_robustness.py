"""A model that leans on what noise destroys fails its gate; one that learned something steady passes all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from lockstep.bundle.decision import Decision
from lockstep.data import columns
from lockstep.data.encoding import Encoder
from lockstep.data.features import Features
from lockstep.errors import ParameterError
from lockstep.models import saving
from lockstep.models.network import Network, build, inference
from lockstep.models.scoring import logits, probabilities
from tasks._explanations import Explained
from tasks._params import parse_params
from tasks._robustness import RobustnessParams, withstand
from tests.conftest import ROOT

RNG = np.random.default_rng(17)
SIZE = 1200
RAW = {
    "dose": np.round(RNG.uniform(0, 8, SIZE), 3),
    "job": RNG.choice(["clerk", "cook", "smith"], SIZE).astype(object),
}
SEX = RNG.choice(["f", "m"], SIZE)
ENCODER = Encoder.fit(RAW, bins=24, min_value_rows=20)
STEADY = np.ones(ENCODER.numeric_width)
ZIGZAG = np.resize([1.0, -1.0], ENCODER.numeric_width)
"""Up in one bin of the dose and down in the next: noise of a bin's width leaves nothing of that."""


class Scored:
    """A float network that scores: its logits are linear in the encoder's bins, with these `slopes` (bins, outputs)."""

    def __init__(self, slopes: Any, classes: Sequence[str] = ()) -> None:
        self.encoder = Encoder(ENCODER.columns, classes=classes)
        network = Network(
            ENCODER.n_codes,
            ENCODER.n_coded,
            ENCODER.numeric_width,
            hidden=(),
            n_outputs=slopes.shape[1],
            embedding_dim=4,
        )
        model, rng = build(network), np.random.default_rng(2)
        model.get_layer("embedding").set_weights([rng.normal(size=(ENCODER.n_codes, 4))])
        of_codes = rng.normal(0, 0.3, (4, slopes.shape[1]))
        kernel, bias = np.concatenate([of_codes, slopes]), np.zeros(slopes.shape[1])
        model.get_layer("logit").set_weights([kernel, bias])
        self._infer = inference(model)
        middle = np.median(logits(self._infer, ENCODER.encode(RAW)), axis=0)
        model.get_layer("logit").set_weights([kernel, -middle])
        self.network = saving.to_bytes(network, model)

    def score(self, features: Features) -> Any:
        found = probabilities(logits(self._infer, features))
        return found if self.encoder.classes else found[:, 0]

    @property
    def codes(self) -> Any:
        """Labels that it gets right but near its border."""
        answers = logits(self._infer, ENCODER.encode(RAW))
        answers = answers + np.random.default_rng(3).normal(0, 0.2, answers.shape)
        return answers.argmax(axis=1) if self.encoder.classes else (answers[:, 0] > 0).astype(np.int64)


def params_of(**gates: Any) -> RobustnessParams:
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    document["data"].update(target="y", positive="1", sensitive=["sex"], min_category_rows=5)
    document["evaluate"].update(bootstrap_samples=100, explained_rows=600, min_group_rows=100)
    document["evaluate"]["gates"]["robustness"].update(gates)
    for name in ("demographic_parity_difference", "equalized_odds_difference"):
        document["evaluate"]["gates"][name] = {"sex": 1.0}
    return parse_params(RobustnessParams, document, "params.yaml")


def table_of(codes: Any) -> pa.Table:
    return pa.table({**RAW, "y": codes.astype(str), columns.audit("sex"): SEX})


def found(scorer: Scored, params: RobustnessParams, threshold: float | None = 0.5) -> Explained:
    table, public = table_of(scorer.codes), {"sex": ["f", "m"]}
    return withstand(scorer, scorer.network, table, table, public, params, Decision(threshold))  # type: ignore[arg-type]


def test_a_model_that_breaks_under_noise_fails_and_a_steady_one_passes() -> None:
    verdicts, curves = {}, {}
    for name, slopes in (("steady", STEADY), ("brittle", 4 * ZIGZAG)):
        result = found(Scored(slopes[:, None]), params_of())
        verdicts[name] = {gate.gate.split(":")[1]: gate.verdict for gate in result.gates}
        curves[name] = result.report["robustness"]
    assert set(verdicts["steady"].values()) == {"pass"}
    assert set(verdicts["steady"]) == {"noise", "missing", "swapped", "fgsm", "pgd", "flips", "shifted"}
    assert {verdicts["brittle"][kind] for kind in ("noise", "fgsm", "pgd")} == {"fail"}
    assert verdicts["brittle"]["shifted"] == "pass"
    report = curves["brittle"]
    assert (report["n_rows"], report["n_amounts"], report["n_choices"]) == (600, 1, 1)
    assert report["unperturbed"]["average_precision"] > 0.9
    strengths = [point["strength"] for point in report["curves"]["noise"]]
    assert strengths == [0.05, 0.1, 0.2, 0.4]
    losses = [point["lost"] for point in report["curves"]["noise"]]
    assert losses == sorted(losses)
    assert losses[-1] > 0.7
    assert {(one["feature"], one["group"], one["strength"]) for one in report["shifted"]} == {
        ("sex", group, odds) for group in ("f", "m") for odds in (0.5, 2.0)
    }


def test_several_classes_are_judged_too() -> None:
    # Low, middle and high doses.
    slopes = np.column_stack([-STEADY, np.where(np.arange(len(STEADY)) < len(STEADY) / 2, 1, -1), STEADY])
    params = params_of().model_copy(update={"positive": None})
    result = found(Scored(slopes, ("0", "1", "2")), params, None)
    assert {gate.verdict for gate in result.gates} <= {"pass", "fail"}
    assert result.report["robustness"]["unperturbed"]["roc_auc"] > 0.9
    [at_gate] = [p for p in result.report["robustness"]["curves"]["pgd"] if p["strength"] == 0.1]
    assert at_gate["lost"] > 0


def test_rows_of_one_class_are_no_evidence() -> None:
    scorer = Scored(STEADY[:, None])
    codes = scorer.codes
    table = table_of(codes)
    params = params_of().model_copy(update={"explained_rows": 50})
    # The other class is there, and none of its rows is drawn.
    alike = table.filter(pa.array(codes == 1))
    rare = pa.concat_tables([alike, table.filter(pa.array(codes == 0)).slice(0, 1)])
    result = withstand(scorer, scorer.network, table, rare, {}, params, Decision(0.5))  # type: ignore[arg-type]
    assert {gate.verdict for gate in result.gates} == {"insufficient evidence"}
    assert result.report == {}


@pytest.mark.parametrize(
    ("gates", "words"),
    [
        ({"flips": {"at": 1.5, "loss": 0.5}}, r"gates\.robustness\.flips\.at"),
        ({"missing": {"at": 1.5, "loss": 0.5}}, r"gates\.robustness\.missing\.at"),
        ({"noise": {"at": 0.1}}, r"gates\.robustness\.noise\.loss is missing"),
        ({"nose": {"at": 0.1, "loss": 0.1}}, r"gates\.robustness\.nose is not a parameter"),
    ],
)
def test_a_gate_without_a_threshold_or_with_one_of_no_meaning_is_refused(gates: Any, words: str) -> None:
    with pytest.raises(ParameterError, match=words):
        params_of(**gates)
