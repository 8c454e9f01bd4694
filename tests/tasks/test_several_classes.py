"""A table of three classes from the source to the server's answer: scikit-learn's wine."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
import yaml
from sklearn.datasets import load_wine
from sklearn.metrics import roc_auc_score

from flows.commands.serving import score_table
from lockstep.bundle.contents import Bundle
from lockstep.bundle.digest import content_digest
from lockstep.bundle.manifest import Manifest
from lockstep.bundle.scorer import Scorer
from lockstep.data.encoding import Encoder
from lockstep.errors import ModelError, RegistryError
from lockstep.serving.app import App
from tasks import _fold, compress, debias, deploy, evaluate, resample, split, train
from tasks._params import Params, parse_params
from tests.conftest import ANY_LOSS, ROOT
from tests.lockstep.bundle.candidate import vault
from tests.lockstep.serving.client import call, request
from tests.tasks._debias import debiased
from tests.tasks._split import split_tables

CLASSES = ("barolo", "grignolino", "barbera")
SORTED = ["barbera", "barolo", "grignolino"]


def source() -> pa.Table:
    wine = load_wine(as_frame=True)
    frame = wine.data.iloc[:, [0, 6, 9, 12]].rename(columns=lambda name: name.split("/")[0])
    frame["cellar"] = np.where(np.arange(len(frame)) % 3 == 0, "north", "south")
    frame["grape"] = [CLASSES[i] for i in wine.target]
    return pa.Table.from_pandas(frame, preserve_index=False)


def document() -> dict[str, Any]:
    params: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["project"] = "tests"
    params["data"].update(
        target="grape",
        positive=None,
        sensitive=["cellar"],
        not_features=[],
        split_column=None,
        min_category_rows=5,
    )
    params["split"].update(validation_share=0.2, test_share=0.3)
    params["resample"].update(method="over", ratio=1.0)
    params["train"].update(epochs=30, min_steps=0, batch_size=32, hidden=[16], ensemble="none")
    params["evaluate"].update(bootstrap_samples=100, min_group_rows=10, min_group_positives=2)
    params["evaluate"]["gates"] = {
        "roc_auc": 0.8,
        "average_precision": 0.7,
        "brier": 0.3,
        "demographic_parity_difference": {"cellar": 1.0},
        "equalized_odds_difference": {"cellar": 1.0},
        "explanation_agreement": 0.0,
        "membership_inference": 1.0,
        "membership_inference_auc": 1.0,
        "robustness": ANY_LOSS,
    }
    return params


def of(model: type[Params]) -> Any:
    return parse_params(model, document(), "params.yaml")


class Run(NamedTuple):
    split: dict[str, Any]
    parts: dict[str, pa.Table]
    resampled: resample.Resampled
    trained: train.Trained
    compressed: compress.Compressed
    evaluation: evaluate.Evaluation
    bundle: Bundle


@pytest.fixture(scope="module")
def run() -> Run:
    """What each stage makes of the table."""
    apart = split_tables(source(), of(split.SplitParams))
    tables = dict(zip(split.PARTS, apart, strict=False))
    parts = debiased(tables, {"cellar": ["north", "south"]}, of(debias.DebiasParams)).parts
    resampled = resample.run(parts["train"], of(resample.ResampleParams))
    trained = train.run(resampled.train, parts["validation"], of(train.TrainParams), _fold.NoCheckpoint())
    encoder = Encoder.from_json(trained.encoder)
    compressed = compress.run(
        encoder, trained.network, parts["train"], parts["validation"], of(compress.CompressParams)
    )
    evaluation = evaluate.run(
        Scorer(encoder, compressed.shipped),
        parts["validation"],
        parts["test"],
        {"cellar": ["north", "south"]},
        of(evaluate.EvaluateParams),
    )
    candidate = content_digest(vault(), trained.encoder, compressed.shipped)
    report = {**evaluation.report, "candidate": candidate}
    deployment = deploy.run(
        trained.encoder, compressed.shipped, evaluation.rule, candidate, report, [], of(deploy.DeployParams)
    )
    return Run(apart[-1], parts, resampled, trained, compressed, evaluation, deployment.bundle)


def test_every_class_stands_on_every_side(run: Run) -> None:
    for side in ("train", "validation", "test"):
        assert set(run.split[side]["by_class"]) == set(CLASSES)
        assert all(run.split[side]["by_class"].values())


def test_every_class_is_brought_to_its_ratio(run: Run) -> None:
    after = run.resampled.report["after"]
    assert len(set(after["by_class"].values())) == 1
    assert after["weight_share_by_class"]["barolo"] == pytest.approx(1 / 3, abs=1e-6)


def test_the_models_schema_holds_the_classes(run: Run) -> None:
    assert list(Encoder.from_json(run.trained.encoder).classes) == SORTED
    assert set(run.trained.report["calibration"]["intercepts"]) == set(CLASSES)


def test_what_ships_is_as_good_as_the_float_model(run: Run) -> None:
    candidates = run.compressed.report["candidates"]
    assert candidates[run.compressed.report["shipped"]]["within_tolerance"]
    assert candidates["float32"]["validation"]["roc_auc"] > 0.9


def test_the_report_has_every_class_and_every_group(run: Run) -> None:
    report, predictions = run.evaluation.report, run.evaluation.predictions.to_pandas()
    assert report["verdict"] == "pass"
    assert report["labels"] == SORTED
    assert "threshold" not in report["metrics"]
    assert set(report["intervals"]) == set(report["metrics"])
    probability = predictions[[f"probability:{name}" for name in SORTED]].to_numpy()
    expected = roc_auc_score(predictions["label"], probability, multi_class="ovr")
    assert report["metrics"]["roc_auc"] == pytest.approx(expected, abs=1e-12)
    for found in report["classes"].values():
        assert set(found["metrics"]) == set(found["intervals"])
    audited = report["fairness"]["cellar"]
    assert set(audited["groups"]) == {"north", "south"}
    widest = max(
        abs(rates["north"]["selection_rate"] - rates["south"]["selection_rate"])
        for rates in (found["groups"] for found in audited["classes"].values())
    )
    assert audited["evidence"]["demographic_parity_difference"]["figure"] == widest
    gates = {gate["gate"]: gate for gate in report["gates"]}
    assert gates["demographic_parity_difference:cellar"]["figure"] == widest


def test_a_fold_of_a_cross_validation_has_the_same_figures(run: Run) -> None:
    rows = pa.concat_tables(
        [run.parts["train"], run.parts["validation"].select(run.parts["train"].column_names)]
    )
    models = (_fold.FoldParams, debias.DebiasParams, resample.ResampleParams, train.TrainParams)
    report = _fold.run(rows, 0, 2, *map(of, models))
    assert set(report["figures"]) == {"roc_auc", "average_precision", "brier", "error_rate"}
    assert sum(report["scored"]["by_class"].values()) == report["n_scored"]


def test_the_bundle_answers_with_the_class_and_the_probability_of_each(run: Run) -> None:
    raw = {column.name: source()[column.name].to_numpy() for column in run.bundle.manifest.columns}
    expected = run.bundle.scorer().probability(raw)
    assert expected.sum(axis=1) == pytest.approx(1.0)
    app = App(run.bundle)
    url = f"/v2/models/{run.bundle.manifest.name}"
    described = {tensor["name"]: tensor["shape"] for tensor in call(app, url, method="GET").body["outputs"]}
    assert described == {"probability": [-1, 3], "label": [-1], "classes": [3]}
    answer = {output["name"]: output for output in call(app, f"{url}/infer", request(raw)).body["outputs"]}
    assert answer["classes"]["data"] == SORTED
    assert answer["probability"]["shape"] == [178, 3]
    np.testing.assert_allclose(np.reshape(answer["probability"]["data"], (178, 3)), expected)
    assert answer["label"]["data"] == [SORTED[i] for i in expected.argmax(axis=1)]
    asked = request(raw, outputs=[{"name": "label"}])
    assert [output["name"] for output in call(app, f"{url}/infer", asked).body["outputs"]] == ["label"]
    scored = score_table(run.bundle, source())
    assert scored.column_names == ["row", *(f"probability:{name}" for name in SORTED), "label"]
    assert scored["label"].to_pylist() == answer["label"]["data"]


@pytest.mark.parametrize(
    "change", [lambda d: d.update(threshold=0.5), lambda d: d.update(classes=["a", 2, "c"])]
)
def test_a_manifest_has_classes_or_a_threshold(run: Run, change: Callable[[dict[str, Any]], None]) -> None:
    content = run.bundle.manifest.to_json()
    assert Manifest.from_json(content, "m").classes == tuple(SORTED)
    parsed = yaml.safe_load(content)
    change(parsed)
    with pytest.raises(RegistryError, match="m is damaged"):
        Manifest.from_json(json.dumps(parsed).encode(), "m")


def test_an_encoder_of_other_classes_is_refused(run: Run) -> None:
    columns = Encoder.from_json(run.bundle.encoder).columns
    with pytest.raises(ModelError, match="different trainings"):
        Scorer(Encoder(columns, classes=["a", "b", "c", "d"]), run.bundle.model)
