"""A small pipeline that seals, after a run: a file, two files made of it, a directory, and a plain report."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import dvc  # noqa: F401 - its log handler keeps the standard error of its first import: not that of one test
import pytest
import yaml

from lockstep.sealing.vault import Vault, open_vault

ROOT = Path(__file__).resolve().parents[3]
STAGES = """
import sys
from pathlib import Path
from lockstep.sealing.vault import open_vault

vault, stage = open_vault("demo", "lockstep.key-id"), sys.argv[1]
Path("ran.txt").open("a").write(stage + "\\n")
if stage == "encrypt":
    vault.write("data/all.sealed", Path("source.txt").read_bytes(), role="source", schema="table/1")
else:
    rows = vault.read("data/all.sealed", role="source", schema="table/1")
    for role, half in (("train", rows[::2]), ("test", rows[1::2])):
        vault.write(f"data/{role}.sealed", half, role=role, schema="table/1")
    for number in range(3):
        vault.write(f"data/shards/{number}.sealed", rows[number::3], role="shard", schema="table/1")
    Path("data/shards/count.txt").write_text("3")
    Path("report.json").write_text(str(len(rows)))
"""
PIPELINE = """
stages:
  encrypt:
    cmd: python stages.py encrypt
    deps: [stages.py, source.txt, lockstep.key-id]
    outs: [data/all.sealed]
  split:
    cmd: python stages.py split
    deps: [stages.py, data/all.sealed, lockstep.key-id]
    outs:
      - data/train.sealed
      - data/test.sealed
      - data/shards
      - report.json: {cache: false}
"""
SEALED = [
    "data/all.sealed",
    "data/train.sealed",
    "data/test.sealed",
    *(f"data/shards/{n}.sealed" for n in range(3)),
]
SECRET = b"a person's row\n" * 3000


def assert_up_to_date(root: Path) -> None:
    """`dvc status` is clean, and `dvc repro` runs nothing."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        assert repo.status() == {}
        ran = (root / "ran.txt").read_bytes()
        assert repo.reproduce() == []
        assert (root / "ran.txt").read_bytes() == ran


def run_dvc(root: Path, *arguments: str) -> None:
    """Run a command of DVC, in this process."""
    from dvc.cli import main

    with contextlib.chdir(root):
        assert main(list(arguments)) == 0


@pytest.fixture(scope="session")
def after_a_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project as a run leaves it, and beside it its keyring and its DVC remote."""
    home = tmp_path_factory.mktemp("sealed")
    root = home / "project"
    root.mkdir()
    (home / "remote").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DVC_NO_ANALYTICS", "1")
        patch.setenv("LOCKSTEP_KEYRING", str(home / "keys" / "keyring.json"))
        from lockstep.sealing.keyring import set_up_keys

        set_up_keys("demo", root / "lockstep.key-id")
        subprocess.run(["git", "init", "-q", str(root)], check=True)
        run_dvc(root, "init", "-q")
        (root / ".gitignore").write_text("/.lockstep/\n*.sealed\n")
        (root / "params.yaml").write_text("project: demo\n")
        (root / "stages.py").write_text(STAGES)
        (root / "dvc.yaml").write_text(PIPELINE)
        (root / "source.txt").write_bytes(SECRET)
        run_dvc(root, "repro", "-q")
        run_dvc(root, "remote", "add", "-q", "-d", "store", "../remote")
        run_dvc(root, "push", "-q")
    return home


@pytest.fixture
def project(after_a_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that project for one test, which is the working directory; its keyring is the one in use."""
    home = tmp_path / "home"
    shutil.copytree(after_a_run, home)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.setenv("LOCKSTEP_KEYRING", str(home / "keys" / "keyring.json"))
    monkeypatch.chdir(home / "project")
    return home / "project"


@pytest.fixture
def lockstep(project: Path) -> Callable[..., str]:
    """Return a function that runs the `lockstep` command in this process; it returns what was printed."""
    import typer
    from typer.testing import CliRunner

    from flows import cli

    def run(*arguments: str, given: str = "") -> str:
        verb = next(argument for argument in arguments if not argument.startswith("-"))
        app: typer.Typer = cli._build(verb)
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, list(arguments), input=given)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            result.exception.args += (result.output,)
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output

    return run


def start(root: Path, *arguments: str, tracer: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run the `lockstep` command in a process of its own."""
    command = [*tracer, sys.executable, "-m", "flows.cli", *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=60)


def vault() -> Vault:
    return open_vault("demo", "lockstep.key-id")


def contents() -> dict[str, bytes]:
    """Content of every sealed file of the workspace."""
    return {path: vault().read(path, role=None, schema=None) for path in SEALED}


def recorded(root: Path, path: str) -> str:
    """Hash that dvc.lock records for an output."""
    lock = yaml.safe_load((root / "dvc.lock").read_text())
    outs = [out for stage in lock["stages"].values() for out in stage["outs"]]
    return next(out["md5"] for out in outs if out["path"] == path)


def cached(root: Path, path: str) -> Path:
    """The cache's object of an output."""
    md5 = recorded(root, path)
    return root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]


def spoil(path: Path, at: int = -20) -> None:
    """Flip one bit, of a file that DVC protects too."""
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)


def state(root: Path) -> dict[str, Any]:
    """What a test compares: every file of the workspace and cache by content."""
    found = [
        path
        for path in root.rglob("*")
        if path.is_file() and not {".git", "tmp"} & {*path.relative_to(root).parts}
    ]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}
