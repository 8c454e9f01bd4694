"""`debias.method: thresholds` from evaluation to an answer over HTTP: every door decides a row alike."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from flows.commands.serving import score_table
from lockstep.bundle.contents import DECISION, Bundle, read_bundle, write_bundle
from lockstep.bundle.decision import Decision
from lockstep.bundle.digest import content_digest
from lockstep.bundle.scorer import Scorer
from lockstep.bundle.verify import check_in_fresh_process, sample_answers
from lockstep.data import columns
from lockstep.data.encoding import Encoder
from lockstep.errors import DataError, NotPromoted, ParameterError, RegistryError
from lockstep.serving.app import App
from tasks import deploy, evaluate
from tasks._groups import require_two_classes
from tests.lockstep.bundle.candidate import POSITIVE, encoder_and_model, rows, vault
from tests.tasks.test_deploy import PARAMS as DEPLOY
from tests.tasks.test_evaluate import EVALUATE

N = 1200
SECRET = "canary-sect"
PUBLIC = {"sect": ["east", "west"]}


def table(seed: int) -> pa.Table:
    raw, rng = rows(N, seed), np.random.default_rng(seed)
    scorer = Scorer(Encoder.from_json(encoder_and_model()[0]), encoder_and_model()[1])
    score = scorer.probability(raw)
    likely = np.where(score + rng.normal(0, score.std(), N) > np.median(score), "east", "west").astype(object)
    sect = np.where(
        rng.random(N) < 0.2, rng.choice(np.array([SECRET, SECRET, None], dtype=object), N), likely
    )
    positive = score + 0.3 * score.std() * (sect == "east") + rng.normal(0, score.std(), N) > np.quantile(
        score, 0.8
    )
    return pa.table(
        {
            **{name: pa.array(values, from_pandas=True) for name, values in raw.items()},
            "y": np.where(positive, "yes", "no"),
            columns.audit("sect"): sect,
        }
    )


VALIDATION, TEST = table(1), table(2)
GATES = EVALUATE.gates.model_copy(
    update={
        "roc_auc": 0.5,
        "average_precision": 0.1,
        "brier": 0.9,
        "demographic_parity_difference": {"sect": 1.0},
        "equalized_odds_difference": {"sect": 1.0},
    }
)


def judged(**changes: Any) -> evaluate.Evaluation:
    encoder, model = encoder_and_model()
    params = EVALUATE.model_copy(
        update={"sensitive": ["sect"], "mitigation": "thresholds", "gates": GATES, **changes}
    )
    return evaluate.run(Scorer(Encoder.from_json(encoder), model), VALIDATION, TEST, PUBLIC, params)


@pytest.fixture(scope="module")
def evaluation() -> evaluate.Evaluation:
    return judged()


@pytest.fixture(scope="module")
def bundle(evaluation: evaluate.Evaluation) -> Bundle:
    content = encoder_and_model()
    candidate = content_digest(vault(), *content, evaluation.rule.content())
    assert candidate != content_digest(vault(), *content)
    params = DEPLOY.model_copy(update={"target": "y", "positive": "yes"})
    report = {**evaluation.report, "candidate": candidate}
    return deploy.run(*content, evaluation.rule, candidate, report, [], params).bundle


def served() -> pa.Table:
    """The test rows as they come in: the sensitive feature by its own name."""
    return TEST.rename_columns([columns.unaudited(name) for name in TEST.column_names])


def test_gates_judge_what_the_groups_thresholds_decide(evaluation: evaluate.Evaluation) -> None:
    of_groups = evaluation.report["threshold"]["of_groups"]
    assert evaluation.report["threshold"]["parity_limits"] == {}
    assert [found["group"] for found in of_groups["groups"]] == ["east", "west", "(other)"][
        : len(of_groups["groups"])
    ]
    assert of_groups["groups_not_named"] == 1
    assert SECRET not in json.dumps(evaluation.report)
    assert SECRET in evaluation.rule.to_json().decode()
    fair, plain = (
        found.report["fairness"]["sect"]["evidence"]["demographic_parity_difference"]["figure"]
        for found in (evaluation, judged(mitigation="drop"))
    )
    assert fair < plain / 2
    decided = evaluation.report["fairness"]["sect"]["groups"].values()
    share = sum(g["selection_rate"] * g["n_rows"] for g in decided) / N
    assert share == pytest.approx(
        np.mean([c == "yes" for c in labels_over_http(None, evaluation)]), abs=1e-12
    )


def labels_over_http(bundle: Bundle | None, evaluation: evaluate.Evaluation | None = None) -> list[str]:
    if bundle is None:
        assert evaluation is not None
        scorer = Scorer(Encoder.from_json(encoder_and_model()[0]), encoder_and_model()[1])
        raw = {
            c.name: np.array(served()[c.name].to_pylist(), dtype=object) for c in evaluation.rule.sensitive
        }
        raw |= {i.name: numbers_or_text(i) for i in scorer.encoder.inputs}
        codes = evaluation.rule.codes(scorer.probability(raw), raw, scorer.encoder.encode)
        return ["yes" if code else "no" for code in codes]
    tensors = [
        {
            "name": column.name,
            "shape": [N],
            "datatype": "BYTES" if column.kind == "category" else "FP64",
            "data": served()[column.name].to_pylist(),
        }
        for column in bundle.manifest.columns
    ]
    status, answer = post(bundle, tensors)
    assert status == 200
    return next(o["data"] for o in answer["outputs"] if o["name"] == "label")


def numbers_or_text(column: Any) -> np.ndarray:
    values = served()[column.name].to_pylist()
    return np.array(values, dtype=object if column.kind == "category" else np.float64)


def post(bundle: Bundle, tensors: list[dict[str, Any]]) -> tuple[int, dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def ask() -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": json.dumps({"inputs": tensors}).encode()}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        path = f"/v2/models/{bundle.manifest.name}/infer"
        await App(bundle)({"path": path, "method": "POST", "headers": []}, receive, send)

    asyncio.run(ask())
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_every_door_gives_the_same_labels(
    bundle: Bundle, evaluation: evaluate.Evaluation, tmp_path: Path
) -> None:
    write_bundle(tmp_path, bundle, vault())
    again = read_bundle(tmp_path)
    assert again.rule() == evaluation.rule
    assert SECRET.encode() not in b"".join(path.read_bytes() for path in tmp_path.iterdir())
    check_in_fresh_process(tmp_path, sample_answers(again))
    labels = labels_over_http(None, evaluation)
    assert labels_over_http(again) == labels
    assert score_table(again, served())["label"].to_pylist() == labels
    assert {"yes", "no"} == set(labels)
    (tmp_path / DECISION).unlink()
    with pytest.raises(RegistryError, match=r"decision\.sealed is missing"):
        read_bundle(tmp_path)


def test_a_row_without_its_sensitive_feature_is_refused(bundle: Bundle) -> None:
    assert [c.name for c in bundle.manifest.columns if c.sensitive] == ["sect"]
    tensors = [
        {
            "name": c.name,
            "shape": [1],
            "datatype": "BYTES" if c.kind == "category" else "FP64",
            "data": [None],
        }
        for c in bundle.manifest.columns
    ]
    assert post(bundle, tensors)[0] == 200
    status, answer = post(bundle, [t for t in tensors if t["name"] != "sect"])
    assert status == 400
    assert "Columns are missing: ['sect']" in answer["error"]
    assert "treats groups alike" in answer["error"]
    with pytest.raises(DataError, match="sect"):
        score_table(bundle, served().drop_columns(["sect"]))


def test_another_rule_is_another_candidate(evaluation: evaluate.Evaluation) -> None:
    content = encoder_and_model()
    candidate = content_digest(vault(), *content, evaluation.rule.content())
    report = {**evaluation.report, "candidate": candidate}
    with pytest.raises(NotPromoted, match="another candidate"):
        deploy.run(
            *content, Decision(0.123), candidate, report, [], DEPLOY.model_copy(update={"positive": "yes"})
        )


@pytest.mark.parametrize("method", ["thresholds", "grid"])
def test_more_than_two_classes_are_refused(method: Any) -> None:
    require_two_classes(method, POSITIVE)
    with pytest.raises(ParameterError, match=f"debias.method {method} chooses between two classes"):
        require_two_classes(method, None)
