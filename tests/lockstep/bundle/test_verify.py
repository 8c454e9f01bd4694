"""A bundle that a fresh process cannot load, or scores otherwise, is found out."""

from pathlib import Path

import numpy as np
import pytest

from lockstep.bundle import verify
from lockstep.bundle.contents import MODEL, write_bundle
from lockstep.bundle.verify import Answers, check_in_fresh_process, sample_answers, sample_rows
from lockstep.data.encoded_columns import FIRST, MISSING, OTHER
from lockstep.data.encoding import Encoder
from lockstep.errors import NotPromoted
from tests.lockstep.bundle.candidate import bundle, rows, vault


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_bundle(tmp_path, bundle(), vault())
    return tmp_path


def _expected() -> Answers:
    return sample_answers(bundle())


def test_a_whole_bundle_passes_from_any_directory(
    directory: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    check_in_fresh_process(directory, _expected())


def test_other_probabilities_are_found_out(directory: Path) -> None:
    expected = _expected()
    expected.probability[7] += 1e-4
    with pytest.raises(NotPromoted, match="scores 256 sample rows otherwise"):
        check_in_fresh_process(directory, expected)


def test_a_bundle_that_does_not_load_is_found_out(directory: Path) -> None:
    (directory / MODEL).unlink()
    with pytest.raises(NotPromoted, match=r"does not load in a fresh process.*model\.sealed is missing"):
        check_in_fresh_process(directory, _expected())


def test_a_process_that_says_nothing_is_found_out(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "_PROGRAM", "import os; os._exit(9)")
    with pytest.raises(NotPromoted, match="exited with 9"):
        check_in_fresh_process(directory, _expected())


def test_a_process_that_hangs_is_found_out(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "_PROGRAM", "import time; time.sleep(60)")
    monkeypatch.setattr(verify, "_TIMEOUT", 0.5)
    with pytest.raises(NotPromoted, match="no answer"):
        check_in_fresh_process(directory, _expected())


def test_the_sample_visits_what_the_encoder_tells_apart() -> None:
    encoder = Encoder.fit(rows(), bins=6, min_value_rows=5)
    codes = encoder.encode(sample_rows(encoder)).codes
    starts = np.cumsum([0, *(column.n_codes for column in encoder.columns)])
    for i, column in enumerate(encoder.columns):
        visited = set((codes[:, i] - starts[i]).tolist())
        assert {MISSING, OTHER} <= visited
        assert visited == set(range(FIRST + len(column.values)))


def test_the_sample_of_columns_without_a_vocabulary() -> None:
    bare = Encoder.fit(
        {"n": np.array([np.nan]), "c": np.array([None], dtype=object)}, bins=4, min_value_rows=5
    )
    table = sample_rows(bare, n_rows=20)
    assert table["n"].shape == table["c"].shape == (20,)
