"""Watches the stages that are started with this directory in PYTHONPATH: what they open, import and change.

Python imports it as it starts. A stage's notes go to $LOCKSTEP_TEST_NOTES/STAGE.json.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = str(Path.cwd())
opened: dict[str, set[str]] = {"read": set(), "write": set()}
#: Of each argument of the stage's `run`: whether it could be compared, and whether it is what it was.
arguments: list[tuple[bool, bool]] = []


def _note(event: str, details: tuple[object, ...]) -> None:
    if event == "open" and isinstance(details[0], str | bytes | os.PathLike):
        path = os.path.abspath(os.fsdecode(details[0]))  # noqa: PTH100  it follows no link and opens nothing
        flags = details[2] if isinstance(details[2], int) else 0
        if path.startswith(ROOT + os.sep):
            opened["write" if flags & (os.O_WRONLY | os.O_RDWR) else "read"].add(os.path.relpath(path, ROOT))


def _frozen(value: object) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception:  # an interpreter's handle cannot be compared, and holds no table
        return b""


def _watched(run: Callable[..., object]) -> Callable[..., object]:
    def watched(*args: object, **kwargs: object) -> object:
        before = [_frozen(argument) for argument in args]
        answer = run(*args, **kwargs)
        arguments.extend((bool(was), was == _frozen(now)) for was, now in zip(before, args, strict=True))
        return answer

    return watched


def _watch(stage: str, notes: Path) -> None:
    sys.path.insert(0, ROOT)
    from tasks import _stage

    command = _stage.command

    def watched(main: Any) -> Any:
        main.__globals__["run"] = _watched(main.__globals__["run"])
        try:
            return command(main)
        finally:
            found = {kind: sorted(paths) for kind, paths in opened.items()}
            document = {**found, "modules": sorted(sys.modules), "arguments": arguments}
            (notes / f"{stage}.json").write_text(json.dumps(document), encoding="utf-8")

    _stage.command = watched
    sys.addaudithook(_note)


module = sys.orig_argv[2] if sys.orig_argv[1:2] == ["-m"] and len(sys.orig_argv) > 2 else ""
# Not what a stage starts: that would write its notes anew.
if module.startswith("tasks.") and "LOCKSTEP_TEST_NOTES" in os.environ:
    _watch(module.removeprefix("tasks."), Path(os.environ.pop("LOCKSTEP_TEST_NOTES")))
