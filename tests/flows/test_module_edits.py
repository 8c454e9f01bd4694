"""An edit of a first-party module re-runs the stages that import it, and no other.

The import graph is read here from the syntax trees alone: dvc.yaml's own dependencies come from another library.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from flows._dvc import Pipeline
from tests.conftest import copy_project, outputs, set_up_keys, stages
from tests.flows.conftest import lockstep, repro

ROOMS = ("flows", "tasks", "lockstep")
OWN = """
import argparse
from pathlib import Path

from lockstep.files import write_atomic
from tasks._own_words import greet


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--out")
    write_atomic(Path(parser.parse_args(argv).out), greet())


if __name__ == "__main__":
    main()
"""
OWN_STAGE = """
  own:
    cmd: python -m tasks.own --out own.txt
    outs: [own.txt]
  after:
    cmd: cp own.txt after.txt
    deps: [own.txt]
    outs: [after.txt]
"""


def files_of(project: Path) -> dict[str, Path]:
    """Path of each first-party module, relative to the project, by its dotted name."""
    found = {}
    for room in ROOMS:
        for path in (project / room).rglob("*.py"):
            relative = path.relative_to(project)
            parts = relative.with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = relative
    return found


def imports(module: str, path: Path, known: set[str]) -> set[str]:
    """First-party modules that importing or calling `module` may run, packages included."""
    named: set[str] = set()
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            base = ".".join(filter(None, [above, node.module]))
            named |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return {name for name in with_packages(named) if name in known}


def with_packages(names: set[str]) -> set[str]:
    return {
        ".".join(parts[:n]) for name in names for parts in [name.split(".")] for n in range(1, len(parts) + 1)
    }


def closure(module: str, graph: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    waiting = with_packages({module})
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting |= graph[name]
    return reached


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default pipeline and a stage of the project's own, recorded as it stands and not run."""
    root = copy_project(tmp_path_factory.mktemp("edits") / "project")
    set_up_keys(root)
    (root / "tasks" / "own.py").write_text(OWN)
    (root / "tasks" / "_own_words.py").write_text("def greet():\n    return b'hello'\n")
    with (root / "dvc.yaml").open("a") as graph:
        graph.write(OWN_STAGE)
    # Not in this process, whose modules are those of the checkout.
    environment = os.environ | {"PYTHONPATH": str(root)}
    subprocess.run([sys.executable, "-m", "flows._deps"], cwd=root, env=environment, check=True)
    for stage in stages(root).values():
        for out in outputs(stage):
            (root / out).parent.mkdir(parents=True, exist_ok=True)
            (root / out).write_text(f"made: {out}\n")
    subprocess.run([sys.executable, "-m", "dvc", "commit", "-f", "-q"], cwd=root, check=True)
    return root


@contextmanager
def edited(path: Path) -> Iterator[None]:
    before = path.read_bytes()
    path.write_bytes(before + b"# edited\n")
    try:
        yield
    finally:
        path.write_bytes(before)


@pytest.fixture(scope="module")
def readers(project: Path) -> dict[Path, set[str]]:
    """Of each module's file the stages that must run again after an edit of it."""
    files = files_of(project)
    graph = {module: imports(module, project / path, set(files)) for module, path in files.items()}
    found: dict[Path, set[str]] = {path: set() for path in files.values()}
    for stage in stages(project):
        if f"tasks.{stage}" in files:
            for module in closure(f"tasks.{stage}", graph):
                found[files[module]].add(stage)
    return found


def changes(pipeline: Pipeline) -> dict[str, set[str]]:
    """Why each stage would run, by the flow's own reckoning."""
    return {name: set(reasons) for name, reasons in pipeline.changes() if reasons}


def test_the_graph_is_as_people_know_it(readers: dict[Path, set[str]]) -> None:
    training = readers[Path("lockstep/models/training.py")]
    assert "train" in training
    assert "validate" not in training
    assert readers[Path("tasks/own.py")] == readers[Path("tasks/_own_words.py")] == {"own"}
    assert readers[Path("lockstep/__init__.py")] == {*readers[Path("tasks/__init__.py")]} >= {"own", "deploy"}
    assert readers[Path("flows/lifecycle.py")] == set()


@pytest.mark.slow
def test_edits_change_the_stages_that_import_the_modules(
    project: Path, readers: dict[Path, set[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    pipeline = Pipeline(project)
    try:
        assert changes(pipeline) == {}
        # Every module at once: each stage names those of its own.
        with ExitStack() as edits:
            for path in readers:
                edits.enter_context(edited(project / path))
            found = changes(pipeline)
        assert set(found) == set().union(*readers.values())
        for stage, reasons in found.items():
            own = {path for path, expected in readers.items() if stage in expected}
            assert reasons == {f"{path} changed" for path in own}, stage
        for path in sorted(readers)[::7]:
            with edited(project / path):
                assert changes(pipeline) == {stage: {f"{path} changed"} for stage in readers[path]}
        assert changes(pipeline) == {}
    finally:
        pipeline.close()


@pytest.mark.slow
def test_both_doors_name_them(project: Path, readers: dict[Path, set[str]]) -> None:
    path = "lockstep/models/training.py"
    with edited(project / path):
        ours = lockstep(project, "status").stdout.splitlines()
        theirs = subprocess.run(
            [sys.executable, "-m", "dvc", "status", "--json"], cwd=project, capture_output=True, text=True
        )
        dry = repro(project, "--dry", quiet=False)
    named = {line.partition(":")[0] for line in ours if line.endswith(f": {path} changed")}
    would_run = set(re.findall(r"^Running stage '(\w+)'", dry.stdout, re.MULTILINE))
    assert named == set(json.loads(theirs.stdout)) == would_run == readers[Path(path)]


@pytest.mark.slow
def test_what_is_downstream_runs_once_the_output_changes(project: Path) -> None:
    def ran() -> set[str]:
        done = repro(project, "after", quiet=False)
        assert done.returncode == 0, done.stderr
        return set(re.findall(r"^Running stage '(\w+)'", done.stdout, re.MULTILINE))

    words = project / "tasks" / "_own_words.py"
    words.write_text("def greet():\n    return b'good day'\n")
    assert ran() == {"own", "after"}
    words.write_text("def greet():\n    return b'good' + b' day'\n")
    assert ran() == {"own"}
