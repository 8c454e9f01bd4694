"""Several devices end where one does, by `fit` and by a loop of one's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from tests.conftest import ROOT


def test_two_devices_end_where_one_does() -> None:
    # Devices are split before TensorFlow has begun, so in a process of their own.
    done = subprocess.run(
        [sys.executable, "-m", "tests.lockstep.models._two_devices"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("replicas") == 2
    assert found.pop("moved") == 0.0
    assert max(found.values()) < 1e-3, found
