"""Writes each stage's first-party modules into dvc.yaml as its dependencies: `make deps`.

Usage: python -m flows._deps [--check] [DIRECTORY]
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from flows._yaml import dump, load
from lockstep.errors import LockstepError
from lockstep.files import write_atomic

_STAGE_COMMAND = re.compile(r"python -m (tasks\.\w+)\b")
_ROOMS = ("tasks", "lockstep")


def modules_of(stage_module: str, root: Path) -> list[str]:
    """Files, relative to `root`, of every first-party module that importing `stage_module` may run.

    Imports inside functions count; so do the packages above each module, which Python runs first.
    """
    import grimp

    graph = grimp.build_graph(*_ROOMS, cache_dir=None)
    modules = {stage_module, *graph.find_upstream_modules(stage_module)}
    packages = {".".join(m.split(".")[:i]) for m in modules for i in range(1, m.count(".") + 1)}
    return sorted(str(_file(module, root)) for module in modules | packages)


def _file(module: str, root: Path) -> Path:
    path = Path(*module.split("."))
    return path / "__init__.py" if (root / path).is_dir() else path.with_suffix(".py")


def update(root: Path) -> bytes:
    """dvc.yaml of `root` with the module dependencies written anew; all else stays as it stands."""
    document = load(root / "dvc.yaml")
    for stage in document["stages"].values():
        command = _STAGE_COMMAND.match(str(stage.get("cmd", "")))
        if command:
            others = [dep for dep in stage.get("deps", []) if not str(dep).endswith(".py")]
            deps = [*others, *modules_of(command[1], root)]
            if "deps" in stage:
                stage["deps"] = deps
            else:
                stage.insert(1, "deps", deps)
    return dump(document)


def main(argv: list[str]) -> int:
    check = "--check" in argv
    root = Path(next((a for a in argv if not a.startswith("-")), "."))
    sys.path.insert(0, str(root.resolve()))
    try:
        wanted = update(root)
    except (OSError, LockstepError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    path = root / "dvc.yaml"
    if path.read_bytes() == wanted:
        return 0
    if check:
        print(
            "error: dvc.yaml does not name the modules that its stages import. Run `make deps`.",
            file=sys.stderr,
        )
        return 1
    write_atomic(path, wanted)
    print("dvc.yaml: dependencies updated")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
