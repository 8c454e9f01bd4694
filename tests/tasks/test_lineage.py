"""What dvc.lock recorded stands in the card as it was meant."""

from __future__ import annotations

from tasks._card import lineage

LOCK = b"stages: {train: {params: {params.yaml: {train.dp_delta: 1e-06, data.positive: '2', data.sensitive: [sex]}}}}"


def test_numbers_and_texts_keep_their_types() -> None:
    assert lineage(LOCK, None, {}, None)["parameters"] == {
        "data.positive": "2",
        "data.sensitive": ["sex"],
        "train.dp_delta": 1e-06,
    }
