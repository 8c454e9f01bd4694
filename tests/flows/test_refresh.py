"""A run looks first whether a source elsewhere changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flows.commands._up_to_date import nothing_to_do
from lockstep.data.sources import Declaration
from tests.conftest import set_up_keys

from .conftest import task_runs

GRAPH = """
stages:
  one:
    cmd: cp data/source.json one.txt
    deps: [data/source.json]
    outs: [one.txt]
"""


def test_the_first_task_takes_the_fingerprint_anew(
    server: str,
    flow: Callable[..., Any],
    repository: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = tmp_path / "secret.csv"
    source.write_text("a\n1\n")
    declaration = Declaration(f"file://{source}").to_json().decode()
    root = repository(
        **{"dvc.yaml": GRAPH, "params.yaml": "project: elsewhere\n", "data/source.json": declaration}
    )
    set_up_keys(root)
    for content, message, stage in (
        ("a\n1\n", "The source changed.", "one"),
        ("a\n1\n", "The source is unchanged.", "Cached"),
        ("a\n2\n", "The source changed.", "one"),
    ):
        source.write_text(content)
        runs = task_runs(server, flow(root))
        assert runs["refresh"] == ("Completed", message)
        assert (runs["one"][0] == "Cached") == (stage == "Cached")
    source.write_text("a\n3\n")
    # What `lockstep run` asks before it starts anything.
    monkeypatch.chdir(root)
    assert not nothing_to_do(root)
    assert flow(root).is_completed()
    nothing_to_do.cache_clear()
    assert nothing_to_do(root)
    source.unlink()
    before = (root / "data/source.json").read_bytes()
    state = flow(root)
    assert state.is_failed()
    assert "does not exist" in state.message
    assert (root / "data/source.json").read_bytes() == before
    assert flow(root, allow_missing=True).is_completed()
