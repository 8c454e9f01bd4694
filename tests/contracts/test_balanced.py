"""What holds for every resampling method after every debiasing: whose rows are whose, and where made ones may go."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from lockstep.balance import ctgan
from lockstep.balance.methods import METHODS
from lockstep.data import columns
from lockstep.data.encoding import Encoder
from lockstep.data.labels import flag
from lockstep.data.tables import raw_columns
from lockstep.errors import DataError
from lockstep.models.ensemble import train_ensemble
from lockstep.models.training import Data
from tasks import debias, evaluate, resample, train
from tasks._fold import NoCheckpoint
from tasks._groups import groups_of
from tasks._reduction import reduced
from tests.contracts.test_mitigations import RESAMPLE, TRAIN, params, table
from tests.tasks._debias import Debiased, debiased
from tests.tasks._split import split_tables
from tests.tasks.test_evaluate import EVALUATE
from tests.tasks.test_time_and_id import params as split_params

CTGAN = pytest.param("ctgan", marks=pytest.mark.slow)
EACH = [CTGAN if name == "ctgan" else name for name in METHODS]
SYNTHETIC = ("smote", "smotenc", "adasyn", "smote_enn", "ctgan")
DEBIASED = ("correlation", "reweighing", pytest.param("none", marks=pytest.mark.slow))
"""The others change no row: they have those of `drop`, which `reweighing` weighs."""


@pytest.fixture(scope="module", autouse=True)
def _short() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ctgan, "STEPS", 2)
        yield


@cache
def fair(method: Any) -> Debiased:
    """Rows of clients who come several times; no two rows have the same skill."""
    people, rng = table(900, 5), np.random.default_rng(6)
    source = people.set_column(1, "skill", pc.fill_null(people["skill"], pa.array(rng.normal(size=900))))
    source = source.append_column("client", pa.array(rng.integers(0, 600, 900)))
    parts = split_tables(source, split_params(id_column="client", sensitive=["sex", "race"]))[:3]
    return debiased(
        dict(zip(debias.PARTS, parts, strict=True)), {}, params(method, protect=["sex"], split_column=None)
    )


def resampled(method: str, mitigation: str) -> pa.Table:
    found = fair(mitigation)
    wanted = RESAMPLE.model_copy(update={"method": method, "ratio": 0.9})
    return resample.run(found.parts["train"], wanted, found.transform).train


def groups_in(rows: pa.Table) -> set[int]:
    return set(rows[columns.GROUP].drop_null().to_pylist())


@pytest.mark.parametrize("mitigation", DEBIASED)
@pytest.mark.parametrize("method", EACH)
def test_rows_keep_what_they_are_and_made_ones_are_marked(method: str, mitigation: str) -> None:
    parts, rows = fair(mitigation).parts, resampled(method, mitigation)
    before = parts["train"]
    own = {columns.MADE, columns.WEIGHT}
    names = [name for name in rows.column_names if name not in own]
    assert names == [name for name in before.column_names if name not in own]
    made, at = flag(rows, columns.MADE), {skill: i for i, skill in enumerate(before["skill"].to_pylist())}
    assert made.any() == (method in (*SYNTHETIC, "over"))
    nobodys = made & (method in SYNTHETIC)
    somebodys = rows.filter(pa.array(~nobodys))
    numbers = [at[skill] for skill in somebodys["skill"].to_pylist()]
    # Each is a row of train with all that it had: features, label, id's group, sensitive features.
    assert somebodys.select(names) == before.select(names).take(numbers)
    unmarked = [number for number, mark in zip(numbers, made[~nobodys], strict=True) if not mark]
    assert len(set(unmarked)) == len(unmarked)
    strangers = rows.filter(pa.array(nobodys))
    for name in (columns.GROUP, columns.audit("sex"), columns.audit("race")):
        assert strangers[name].null_count == len(strangers)
    assert groups_in(rows) <= groups_in(before)
    assert not groups_in(rows) & (groups_in(parts["validation"]) | groups_in(parts["test"]))
    if method != "weights":
        fitted = before[columns.WEIGHT].to_numpy() if mitigation == "reweighing" else np.ones(len(before))
        weights = np.asarray(rows[columns.WEIGHT].to_numpy())
        assert np.array_equal(weights[~nobodys], fitted[numbers].astype(np.float32))
        assert (weights[nobodys] == 1).all()


@pytest.mark.parametrize("method", ["over", *SYNTHETIC[:-1], CTGAN])
def test_made_rows_are_refused_where_a_model_is_chosen_or_judged(method: str) -> None:
    rows, clean = resampled(method, "reweighing"), fair("reweighing").parts["validation"]
    with pytest.raises(DataError, match="of the validation rows were made by a sampler"):
        train.run(rows, rows, TRAIN, NoCheckpoint())
    for validation, test, name in ((rows, clean, "validation"), (clean, rows, "test")):
        with pytest.raises(DataError, match=f"of the {name} rows were made by a sampler"):
            evaluate.run(None, validation, test, {}, EVALUATE)  # type: ignore[arg-type]


def test_synthetic_rows_are_made_where_the_network_meets_real_ones() -> None:
    """Nothing is taken from the features of a row without sensitive ones, so it was taken before."""
    transform, rows = fair("correlation").transform, resampled("smote", "correlation")
    assert transform is not None
    positive, made = np.array(rows["y"].to_pylist()) == "yes", flag(rows, columns.MADE)
    raw = raw_columns(rows, ["height", "skill", *transform.names])
    met = transform.apply(raw)["height"]
    assert np.array_equal(met[made], raw["height"][made])
    real = positive & ~made
    assert abs(raw["height"][real].mean() - met[real].mean()) > 1.2
    assert met[made].mean() == pytest.approx(met[real].mean(), abs=0.5)


def test_shifted_whole_numbers_are_rounded_and_not_cut() -> None:
    found = fair("correlation")
    whole = pc.cast(pc.round(found.parts["train"]["height"]), pa.int64())
    rows = found.parts["train"].drop_columns(["height"]).append_column("height", whole)
    made = resample.run(
        rows, RESAMPLE.model_copy(update={"method": "smote", "ratio": 0.9}), found.transform
    ).train
    assert made.schema.field("height").type == pa.int64()
    mean = np.mean(made.filter(made[columns.MADE])["height"].to_numpy())
    exact = resampled("smote", "correlation")
    assert mean == pytest.approx(np.mean(exact.filter(exact[columns.MADE])["height"].to_numpy()), abs=0.25)


def test_a_synthetic_row_is_of_no_group() -> None:
    rows = resampled("smote", "reweighing")
    made, groups = flag(rows, columns.MADE), groups_of(rows, ["sex"], 5)
    assert all(group is None for group in groups[made])
    assert None not in groups[~made]
    # Who is repeated stays who it is.
    again = resampled("over", "reweighing")
    assert None not in groups_of(again, ["sex", "race"], 5)
    adversarial = TRAIN.model_copy(
        update={"mitigation": "adversarial", "sensitive": ["sex", "race"], "protect": ["sex"]}
    )
    _, data = train.encode(resampled("smote", "reweighing"), adversarial)
    assert data.groups is not None
    is_made = flag(resampled("smote", "reweighing"), columns.MADE)
    assert (data.groups[is_made] == -1).all()
    assert set(data.groups[~is_made]) == {0, 1, 2}


@pytest.mark.slow
def test_no_point_of_the_grid_turns_the_label_of_a_synthetic_row() -> None:
    rows = resampled("smote", "reweighing")
    made, seen = flag(rows, columns.MADE), []
    encoder, data = train.encode(rows, TRAIN)
    network, schedule, ensemble = train.plan_of(Encoder.from_json(encoder.to_json()), TRAIN, len(rows))

    def train_once(part: Data, checkpoint: Any, on_epoch: Any) -> Any:
        seen.append(part)
        return train_ensemble(network, schedule, ensemble, part, data, checkpoint, on_epoch)

    labels = data.targets[:, 0] > 0.5
    reduced(
        data, labels, groups_of(rows, ["sex"], 5), "demographic_parity", 3, ensemble, NoCheckpoint(),
        lambda epoch: None, train_once,
    )  # fmt: skip
    assert len(seen) > 1
    turned = [part.targets[:, 0] != data.targets[:, 0] for part in seen]
    assert any(rows.any() for rows in turned)
    for part, rows_turned in zip(seen, turned, strict=True):
        assert not rows_turned[made].any()
        of_made = part.weights[made] / data.weights[made]
        assert of_made == pytest.approx(of_made[0])
