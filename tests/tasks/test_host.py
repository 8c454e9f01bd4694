"""What a stage costs is measured, and how the energy was found is said."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from lockstep.bundle.scorer import Scorer
from lockstep.data.encoding import Encoder
from lockstep.errors import StageFailed
from tasks import _host
from tasks._cost import cost
from tasks._host import WATTS_PER_CORE, Meter, forget_peak_memory
from tasks._scoring_memory import scoring_memory
from tasks._stage import measured


def test_a_stage_leaves_what_it_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_host, "_RAPL", tmp_path)
    Path("report").touch()
    with measured("train", Path("report")) as figures:
        figures["own"] = 1
        ends = time.process_time() + 0.05
        while time.process_time() < ends:
            pass
    found = json.loads(Path(".lockstep/measured/train.json").read_bytes())
    assert found["own"] == 1
    assert 0.04 <= found["cpu_seconds"] <= found["seconds"] * 64
    assert found["energy_joules"] == pytest.approx(found["cpu_seconds"] * WATTS_PER_CORE, abs=0.1)
    assert found["energy_method"] == "processor time at 10 W a core"


def test_the_processors_own_count_of_energy_is_preferred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_host, "_RAPL", tmp_path)
    for name in ("intel-rapl:0", "intel-rapl:1", "intel-rapl:0:0"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text("1000000\n")
    meter = Meter()
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("3500000\n")
    found = meter.read()
    assert (found["energy_joules"], found["energy_method"]) == (2.5, "RAPL, whole packages")
    # The counter starts again from zero now and then.
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("0\n")
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("0\n")
    assert meter.read()["energy_method"] != "RAPL, whole packages"


def test_peak_memory_is_that_of_the_piece_of_work() -> None:
    # So much that nothing which was freed before makes room for it.
    size = 200 * 2**20
    held = np.ones(size, dtype=np.uint8)
    del held
    forget_peak_memory()
    before = Meter().read()["peak_memory_bytes"]
    held = np.ones(size, dtype=np.uint8)
    assert Meter().read()["peak_memory_bytes"] >= before + 0.9 * len(held)


def test_scoring_is_timed_for_one_row_and_for_many() -> None:
    import pyarrow as pa

    from tests.lockstep.bundle.candidate import bundle, rows

    candidate = bundle()
    scorer = Scorer(Encoder.from_json(candidate.encoder), candidate.model)
    found = cost(scorer, pa.table(rows(50)))
    assert list(found["latency"]) == ["1 row", "1,000 rows"]
    for times in found["latency"].values():
        assert 0 < times["p50_ms"] <= times["p99_ms"]
    assert found["million_predictions"]["seconds"] > 0
    assert found["million_predictions"]["energy_method"]


def test_the_memory_of_scoring_is_that_of_a_process_of_its_own() -> None:
    import pyarrow as pa

    from tests.lockstep.bundle.candidate import bundle, rows

    candidate = bundle()
    found = scoring_memory(candidate.encoder, candidate.model, pa.table(rows(50)))
    # An interpreter with NumPy, Arrow and LiteRT, and not this one, which may hold TensorFlow.
    assert 2**25 < found < 2**29
    with pytest.raises(StageFailed, match="ended with 1"):
        scoring_memory(candidate.encoder, b"no model", pa.table(rows(50)))
