"""The scorer gives each row its probability, however many come together."""

import numpy as np
import pytest

from lockstep.bundle import scorer as module
from lockstep.bundle.scorer import Scorer
from lockstep.data.encoding import Encoder
from lockstep.errors import ModelError
from tests.lockstep.bundle.candidate import bundle, encoder_and_model, rows


def test_a_row_scores_the_same_alone_and_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH", 64)
    scorer, table = bundle().scorer(), rows(150)
    together = scorer.probability(table)
    alone = [
        scorer.probability({name: values[i : i + 1] for name, values in table.items()}) for i in range(150)
    ]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-6)
    assert together.shape == (150,)
    assert together.dtype == np.float64
    assert len(np.unique(together)) > 20
    assert ((together > 0) & (together < 1)).all()


def test_no_rows_give_no_probabilities() -> None:
    assert bundle().scorer().probability(rows(0)).shape == (0,)


@pytest.mark.parametrize("model", [b"", b"no model at all, but long enough to be read as one"])
def test_other_bytes_are_no_model(model: bytes) -> None:
    with pytest.raises(ModelError, match="no LiteRT flatbuffer"):
        Scorer(Encoder.from_json(encoder_and_model()[0]), model)


def test_an_encoder_of_another_training_is_refused() -> None:
    table = rows()
    del table["state"]
    with pytest.raises(ModelError, match="different trainings"):
        Scorer(Encoder.fit(table, bins=6, min_value_rows=5), encoder_and_model()[1])
