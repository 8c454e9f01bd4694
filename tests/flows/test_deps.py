"""dvc.yaml names the modules that its stages import."""

from __future__ import annotations

from pathlib import Path

import yaml

from flows._deps import main, modules_of, update
from tests.conftest import ROOT, stages


def test_the_projects_own_dvc_yaml_is_up_to_date() -> None:
    assert update(ROOT) == (ROOT / "dvc.yaml").read_bytes()


def test_an_import_becomes_a_dependency_with_its_packages() -> None:
    assert set(modules_of("tasks.sample", ROOT)) >= {
        "tasks/sample.py",
        "lockstep/data/census.py",
        "lockstep/__init__.py",
    }
    assert "lockstep/models/training.py" not in modules_of("tasks.validate", ROOT)
    assert "lockstep/models/training.py" in modules_of("tasks.train", ROOT)


def test_missing_modules_are_written_and_the_rest_stays(tmp_path: Path) -> None:
    text = (ROOT / "dvc.yaml").read_text()
    (tmp_path / "dvc.yaml").write_text(text.replace("      - tasks/split.py\n", ""))
    for room in ("tasks", "lockstep"):
        (tmp_path / room).symlink_to(ROOT / room)
    assert main(["--check", str(tmp_path)]) == 1
    assert main([str(tmp_path)]) == 0
    assert (tmp_path / "dvc.yaml").read_text() == text
    assert yaml.safe_load(text)["stages"].keys() == stages(ROOT).keys()
