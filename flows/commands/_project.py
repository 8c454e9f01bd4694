"""Where a command was started, and whether it may go on from there."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from flows._rwlock import mend
from lockstep.errors import UsageError

DEMO_STAGE = "sample"
"""The stage, and section of params.yaml, that the demo alone has."""


def project_root() -> Path:
    """The working directory, where it is a project.

    Raises
    ------
    UsageError
        It has no dvc.yaml.
    """
    root = Path.cwd()
    if not (root / "dvc.yaml").is_file():
        raise UsageError(f"{root} has no dvc.yaml. Go to the directory of your project.")
    return root


def is_demo(root: Path) -> bool:
    """Whether `lockstep init` has not yet made the project at `root` one of an own table."""
    return DEMO_STAGE in read_yaml(root / "params.yaml")


def check_python() -> None:
    """Refuse when the stages' `python` would be another one than this.

    Raises
    ------
    UsageError
        PATH leads to no `python`, or to another one.
    """
    found = shutil.which("python")
    # The directories and not the files: the interpreters of all virtual environments are links to one.
    if found is None or not Path(found).parent.samefile(Path(sys.executable).parent):
        raise UsageError(
            f"The stages would run with {found or 'no python'}, but Lockstep runs with {sys.executable}. "
            "Activate its virtual environment first: `. .venv/bin/activate`."
        )


def recover(root: Path) -> None:
    """Put in order what a process that was killed left, and say so: half a rotation of the key, DVC's record.

    Raises
    ------
    LockstepError
        It cannot be put in order yet.
    """
    # Stages must not see half of it.
    if (root / ".lockstep" / "rotation" / "journal.json").exists():
        from flows._rotation import finish

        print(f"Finished the interrupted rotation to key {finish(root).key_id}.")
    if mended := mend(root):
        print(mended)


def stage_arguments(name: str, path: Path = Path("dvc.yaml")) -> list[str]:
    """Arguments with which dvc.yaml calls a stage of Lockstep's.

    Raises
    ------
    UsageError
        It has no such stage, or another program runs it.
    """
    try:
        command = shlex.split(read_yaml(path)["stages"][name]["cmd"])
    except (KeyError, TypeError, AttributeError, ValueError):
        raise UsageError(f"{path} has no stage `{name}` with a command. Restore it.") from None
    if command[:3] != ["python", "-m", f"tasks.{name}"]:
        raise UsageError(f"The stage `{name}` of {path} is not run by tasks.{name}. Run its command by hand.")
    return command[3:]


def read_yaml(path: Path) -> Any:
    """A YAML file of the project; raises UsageError where there is none."""
    import yaml

    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        raise UsageError(f"{path} is not here, or no YAML. Run in the project's root.") from None
