"""`lockstep tune` proposes values from the sealed training rows, and changes nothing."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

from flows.commands.tune import CURVE, batch_size, learning_rate
from lockstep.errors import UsageError


@pytest.fixture
def project(small_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from dvc.repo import Repo

    root = tmp_path / "project"
    shutil.copytree(small_project, root)
    monkeypatch.chdir(root)
    with Repo.init(str(root), force=True) as repo:
        # As if every stage had run through DVC.
        repo.commit(force=True)
    return root


@pytest.mark.slow
def test_both_propose_a_line_for_params_yaml(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (project / "params.yaml").read_bytes()
    learning_rate()
    shown = capsys.readouterr().out
    assert 1e-6 < float(re.findall(r"under train:  learning_rate: (\S+)", shown)[0]) < 1
    [curve] = ElementTree.parse(project / CURVE).getroot().iter("{http://www.w3.org/2000/svg}polyline")
    assert len(curve.get("points", "").split()) == int(shown.split()[0])
    batch_size()
    shown = capsys.readouterr().out
    sizes = [int(size) for size in re.findall(r"^│ +(\d+) │", shown, re.MULTILINE)]
    assert sizes[0] == 64
    assert int(re.findall(r"under train:  batch_size: (\d+)", shown)[0]) in sizes
    assert (project / "params.yaml").read_bytes() == before


def test_rows_that_are_out_of_date(project: Path) -> None:
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["resample"]["ratio"] = 0.5
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(UsageError, match=r"is not up to date\. Run `lockstep run resample` first"):
        learning_rate()
