"""What holds for every value of debias.method: it has its effect, reads no test row, and serves what it trained."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lockstep.data import columns
from lockstep.data.batches import TableBatches, write_parquet
from lockstep.data.encoding import Encoder
from lockstep.data.features import Features
from lockstep.data.tables import from_parquet, raw_columns
from lockstep.errors import DataError, ParameterError
from lockstep.fairness import grid, reweighing
from lockstep.fairness.groups import differences
from lockstep.fairness.methods import METHODS, Method
from lockstep.fairness.predictability import predictability
from tasks import debias, resample, train
from tasks._fold import NoCheckpoint, answers_of
from tasks._params import load_params
from tests.conftest import ROOT
from tests.tasks._debias import Debiased, debiased

RESAMPLE = load_params(resample.ResampleParams, ROOT / "params.yaml").model_copy(
    update={"project": "p", "target": "y", "positive": "yes", "method": "none"}
)
TRAIN = load_params(train.TrainParams, ROOT / "params.yaml").model_copy(
    update={"target": "y", "positive": "yes", "min_steps": 0, "batch_size": 256, "hidden": [16], "bins": 8}
    | {"ensemble": "none", "epochs": 2, "dropout": 0.0, "embedding_dropout": 0.0}
)
#: The others are slow: what they are fitted to, these are too.
MOST_FITTED = [
    pytest.param(name, marks=() if name in ("correlation", "reweighing", "thresholds") else pytest.mark.slow)
    for name in METHODS
]


def table(n_rows: int, seed: int) -> pa.Table:
    """People whose income follows their skill and, unfairly, their sex; height tells of sex."""
    rng = np.random.default_rng(seed)
    sex, race = (
        rng.choice(["f", "m"], n_rows),
        rng.choice(["black", "white", "other"], n_rows, p=[0.3, 0.6, 0.1]),
    )
    skill = rng.normal(size=n_rows)
    income = skill + 1.2 * (sex == "m") + 0.6 * (race == "white") + rng.normal(scale=0.7, size=n_rows)
    return pa.table(
        {
            "height": np.round(rng.normal(168 + 8 * (sex == "m"), 7), 1),
            "skill": pa.array(skill, mask=rng.random(n_rows) < 0.05),
            "town": rng.choice(["a", "b"], n_rows),
            "sex": np.where(rng.random(n_rows) < 0.02, None, sex),
            "race": race,
            "y": np.where(income > 1.5, "yes", "no"),
        }
    )


PARTS = {"train": table(3000, 1), "validation": table(2000, 2), "test": table(600, 3)}


def params(method: Method, **changes: Any) -> debias.DebiasParams:
    own = {"target": "y", "positive": "yes", "sensitive": ["sex", "race"], "split_column": "part"}
    return load_params(debias.DebiasParams, ROOT / "params.yaml").model_copy(
        update={**own, "method": method, "proxy_threshold": 0.9, **changes}
    )


@dataclass
class Made:
    debiased: Debiased
    encoder: Encoder


@cache
def made(method: Method) -> Made:
    result = debiased(PARTS, {"sex": ["f", "m"]}, params(method))
    resampled = resample.run(result.parts["train"], RESAMPLE).train
    encoder, _ = train.encode(resampled, TRAIN, result.transform)
    return Made(result, Encoder.from_json(encoder.to_json()))


def served(encoder: Encoder, rows: pa.Table) -> Features:
    return encoder.encode(raw_columns(rows, [name for name, _ in encoder.inputs]))


@pytest.mark.parametrize("method", MOST_FITTED)
@pytest.mark.parametrize("adversarial", [0.0, 0.1])
def test_rows_that_are_read_compactly_train_the_same(method: Method, adversarial: float) -> None:
    result, buffer = made(method).debiased, io.BytesIO()
    rows = resample.run(result.parts["train"], RESAMPLE).train
    pq.write_table(rows, buffer, row_group_size=701)
    wanted = TRAIN.model_copy(update={"mitigation": method, "adversarial": adversarial, "protect": None})
    wanted = wanted.model_copy(update={"sensitive": ["sex", "race"]})
    (encoder, data), (other, theirs) = (
        train.encode(table, wanted, result.transform)
        for table in (rows, from_parquet(buffer.getvalue(), compact=True))
    )
    assert encoder.to_json() == other.to_json()
    for part, their in zip(data.features.dense(), theirs.features.dense(), strict=True):
        np.testing.assert_array_equal(part, their)
    for part, their in ((data.targets, theirs.targets), (data.weights, theirs.weights)):
        np.testing.assert_array_equal(part, their)
    if data.groups is not None:
        np.testing.assert_array_equal(data.groups, theirs.groups)
    assert (data.moves is None) == (theirs.moves is None) == (adversarial == 0.0)
    if data.moves and theirs.moves:
        np.testing.assert_array_equal(data.moves.positions, theirs.moves.positions)


@pytest.mark.parametrize(
    ("changes", "heard"),
    [
        ({}, True),
        ({"mitigation": "thresholds"}, True),
        ({"mitigation": "reweighing"}, False),
        ({"resampling": "over"}, False),
        ({"time_column": "year"}, False),
        ({"focal_gamma": 1.0}, False),
        ({"ensemble": "balanced_bagging", "members": 2}, False),
        ({"dp_noise_multiplier": 1.0, "normalization": "layer"}, False),
    ],
)
def test_training_rows_that_are_not_as_others_do_not_calibrate(changes: dict[str, Any], heard: bool) -> None:
    parts = made("drop").debiased.parts
    rows = resample.run(parts["train"], RESAMPLE).train
    wanted = TRAIN.model_copy(update={"epochs": 1, "hidden": [8], **changes})
    trained = train.run(rows, parts["validation"], wanted, NoCheckpoint(), secret=1)
    expected = ["train", "validation"] if heard else ["validation"]
    assert trained.report["calibration"]["intercept_from"] == expected


def test_every_method_is_registered() -> None:
    assert set(get_args(Method)) == set(METHODS)


@pytest.mark.parametrize("method", MOST_FITTED)
def test_nothing_is_read_from_test_rows(method: Method) -> None:
    garbage = {**PARTS, "test": table(600, 99)}
    other = debiased(garbage, {"sex": ["f", "m"]}, params(method))
    ours = made(method).debiased
    assert other.report == ours.report
    assert other.transform == ours.transform
    assert all(other.parts[part] == ours.parts[part] for part in ("train", "validation"))


def written(method: Method, batch_rows: int) -> tuple[list[bytes], Any]:
    """The parts as files, and the rest, of tables that come in batches of `batch_rows` rows."""
    parts = {
        name: TableBatches(pa.concat_tables(t.slice(at, batch_rows) for at in range(0, len(t), batch_rows)))
        for name, t in {
            **PARTS,
            "test": PARTS["test"].append_column(columns.SEEN, pa.array([False] * 600)),
        }.items()
    }
    # Height counts as a proxy, so that rows that nothing else tells apart change sides.
    changes = params(method, proxy_threshold=0.3, split_column=None)
    debiased, files = debias.run(parts, {"sex": ["f", "m"]}, changes), []
    for part in debiased.parts.values():
        file = io.BytesIO()
        write_parquet(file, part)
        files.append(file.getvalue())
    return files, (debiased.transform, debiased.report)


@pytest.mark.parametrize(
    "method", [pytest.param("none", marks=pytest.mark.slow), "correlation", "reweighing"]
)
def test_the_size_of_a_batch_changes_no_byte(method: Method) -> None:
    files, rest = written(method, 10_000)
    assert (files, rest) == written(method, 137)
    if method == "reweighing":
        assert rest[1]["rows_moved_to_train"] > 0


@pytest.mark.parametrize("method", METHODS)
def test_a_served_row_is_encoded_as_in_training(method: Method) -> None:
    encoder = made(method).encoder
    source, trained = PARTS["validation"], made(method).debiased.parts["validation"]
    assert METHODS[method].acts_on != "features" or METHODS[method].serves_sensitive == bool(
        encoder.decorrelation
    )
    together = served(encoder, trained)
    for i in range(0, 400):
        alone = served(encoder, source.slice(i, 1))
        assert np.array_equal(alone.numeric[0], together.numeric[i])
        assert np.array_equal(alone.codes[0], together.codes[i])


@pytest.mark.parametrize("method", METHODS)
def test_only_none_leaves_the_sensitive_features_in(method: Method) -> None:
    names = columns.features(made(method).debiased.parts["train"].column_names, "y")
    assert ({"sex", "race"} <= set(names)) == (method == "none")


def test_correlation_takes_what_numbers_tell_of_the_groups() -> None:
    transform = made("correlation").debiased.transform
    assert transform is not None
    assert transform.changed == ["height", "skill"]
    raw = raw_columns(PARTS["train"], ["height", "skill", "sex", "race"])
    is_man = raw["sex"] == "m"
    known = np.array([value is not None for value in raw["sex"]])
    after = transform.apply(raw)
    assert np.corrcoef(raw["height"][known], is_man[known])[0, 1] > 0.4
    assert abs(np.corrcoef(after["height"][known], is_man[known])[0, 1]) < 1e-9
    assert np.array_equal(np.isnan(after["skill"]), np.isnan(raw["skill"]))
    # Height by itself tells nothing any more, and no exact value of it has a code.
    (column,) = [c for c in made("correlation").encoder.columns if c.name == "height"]
    assert column.values == ()
    report = made("correlation").debiased.report
    assert report["predictability"]["sex"]["by_feature"]["height"]["roc_auc"] > 0.7
    assert report["predictability_left"]["sex"]["by_feature"]["height"]["roc_auc"] < 0.6


def test_a_group_that_training_did_not_know_is_not_shifted() -> None:
    transform = made("correlation").debiased.transform
    assert transform is not None
    rows = {"height": np.array([170.0]), "skill": np.array([0.5])}
    unknown = {"sex": np.array(["x"], dtype=object), "race": np.array([None], dtype=object)}
    after = transform.apply({**rows, **unknown})
    assert {name: after[name] for name in rows} == rows
    with pytest.raises(DataError, match=r"sensitive features \['race'\]"):
        transform.apply({**rows, "sex": unknown["sex"]})


def test_reweighing_makes_label_and_group_independent() -> None:
    rows = made("reweighing").debiased.parts["train"]
    weights = rows[columns.WEIGHT].to_numpy()
    positive = np.array(rows["y"].to_pylist()) == "yes"
    assert weights.sum() == pytest.approx(len(rows), rel=1e-5)
    for race in ("black", "white", "other"):
        group = np.array([v == race for v in rows[columns.audit("race")].to_pylist()])
        for sex in ("f", "m"):
            both = group & np.array([v == sex for v in rows[columns.audit("sex")].to_pylist()])
            share = np.average(positive[both], weights=weights[both])
            assert share == pytest.approx(positive.mean(), abs=1e-5)
    # The paper's formula on its example: 4 of 10 are positive, 3 of 5 men and 1 of 5 women.
    found = reweighing.weights(
        np.array([1, 1, 1, 0, 0, 1, 0, 0, 0, 0]), np.array(list("mmmmmfffff"), dtype=object)
    )
    assert found[[0, 3, 5, 6]] == pytest.approx([2 / 3, 1.5, 2.0, 0.75])


def test_weights_of_fairness_and_of_balance_multiply() -> None:
    rows = made("reweighing").debiased.parts["train"]
    balance = RESAMPLE.model_copy(update={"method": "weights", "ratio": 1.0})
    alone = resample.run(rows.drop_columns([columns.WEIGHT]), balance).train[columns.WEIGHT].to_numpy()
    both = resample.run(rows, balance).train[columns.WEIGHT].to_numpy()
    assert np.allclose(both, alone * rows[columns.WEIGHT].to_numpy())


def gap(decisions: Any, constraint: str = "demographic_parity") -> float:
    """Difference between the sexes in what was decided about the validation rows."""
    sex = PARTS["validation"]["sex"].to_pylist()
    known = np.array([value is not None for value in sex])
    groups = np.array(sex, dtype=object)[known]
    return differences(positives("validation")[known], decisions[known], groups)[f"{constraint}_difference"]


def positives(part: str) -> Any:
    return np.array(PARTS[part]["y"].to_pylist()) == "yes"


@cache
def probability(method: Method, constraint: str = "demographic_parity") -> Any:
    """What a network trained by `method` against unfairness to the sexes says of the validation rows."""
    training = TRAIN.model_copy(
        update={"mitigation": method, "constraint": constraint, "protect": ["sex"], "epochs": 8}
        | {"sensitive": ["sex", "race"], "learning_rate": 0.01, "batch_size": 128, "grid_size": 2}
    )
    tables = made("drop").debiased.parts
    resampled = resample.run(tables["train"], RESAMPLE).train
    trained = train.run(resampled, tables["validation"], training, NoCheckpoint())
    return 1 / (1 + np.exp(-answers_of(trained, tables["validation"])[:, 0]))


def most_likely(probabilities: Any) -> Any:
    """As many decisions for each model, so that gaps compare."""
    return probabilities >= np.quantile(probabilities, 0.7)


@pytest.mark.slow
def test_an_adversary_closes_the_gap_that_it_is_for() -> None:
    before = most_likely(probability("drop"))
    assert gap(before) > 0.06
    assert gap(most_likely(probability("adversarial"))) < gap(before) / 2


@pytest.mark.slow
def test_an_adversary_that_sees_labels_closes_the_odds() -> None:
    odds = most_likely(probability("adversarial", "equalized_odds"))
    assert gap(odds, "equalized_odds") < gap(most_likely(probability("adversarial")), "equalized_odds")


def logistic(part: str) -> Any:
    return np.column_stack([np.nan_to_num(raw_columns(PARTS[part], [n])[n]) for n in ("height", "skill")])


@pytest.mark.parametrize("constraint", ["demographic_parity", "equalized_odds"])
def test_a_grid_ends_in_the_model_of_the_best_point(constraint: Any) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    features, models = logistic("train"), []

    def fit(number: int, labels: Any, weights: Any) -> Any:
        assert number == len(models)
        model = make_pipeline(StandardScaler(), LogisticRegression())
        models.append(model.fit(features, labels, logisticregression__sample_weight=weights))
        return model.predict(features) == 1

    groups = np.array(
        ["(other)" if v is None else v for v in PARTS["train"]["sex"].to_pylist()], dtype=object
    )
    best = grid.search(positives("train"), groups, constraint, 9, fit)
    plain = make_pipeline(StandardScaler(), LogisticRegression()).fit(features, positives("train"))
    assert len(models) > 3
    closed = gap(models[best].predict(logistic("validation")) == 1, constraint)
    before = gap(plain.predict(logistic("validation")), constraint)
    # The odds of the plain model are near each other already.
    assert closed < before if constraint == "demographic_parity" else closed <= before + 0.02
    with pytest.raises(ParameterError, match="3 groups make a grid of"):
        grid.search(positives("train"), np.array(list("abc") * 1000, dtype=object), constraint, 3, fit)


@pytest.mark.slow
def test_a_grid_trains_networks_that_can_be_shipped() -> None:
    answers = probability("grid")
    assert np.mean((answers > 0.5) == positives("validation")) > 0.7


def test_predictability_tells_a_proxy_from_noise() -> None:
    found = made("drop").debiased.report["predictability"]["sex"]
    low, high = found["by_feature"]["height"]["interval"]
    assert 0.7 < low <= found["by_feature"]["height"]["roc_auc"] <= high < 0.9
    assert found["by_feature"]["town"]["roc_auc"] == pytest.approx(0.5, abs=0.03)
    assert found["together"]["roc_auc"] >= found["by_feature"]["height"]["roc_auc"] - 0.02
    frame = PARTS["train"].to_pandas()
    alone = predictability({"town": frame["town"]}, np.array(["same"] * len(frame), dtype=object), 1)
    assert alone == {"by_feature": {"town": None}, "together": None}


def test_protect_narrows_a_method_and_refuses_other_columns() -> None:
    transform = debiased(PARTS, {}, params("correlation", protect=["sex"])).transform
    assert transform is not None
    assert transform.names == ["sex"]
    with pytest.raises(ParameterError, match=r"debias\.protect names \['town'\]"):
        debiased(PARTS, {}, params("drop", protect=["town"]))
    with pytest.raises(ParameterError, match=r"data\.sensitive names none"):
        debiased(PARTS, {}, params("reweighing", sensitive=[]))
    words = PARTS["train"].select(["town", "sex", "race", "y"])
    with pytest.raises(DataError, match="none is left"):
        debiased({**PARTS, "train": words}, {}, params("correlation"))
