"""Parameters are judged before any stage starts: DVC removes a stage's outputs before the stage could refuse."""

from __future__ import annotations

import filecmp
import importlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lockstep.errors import ParameterError

if TYPE_CHECKING:
    from flows._dvc import Pipeline

PARAMS = "params.yaml"


def require_good(root: Path, pipeline: Pipeline, *, force: bool = False) -> None:
    """Have each of Lockstep's own stages that is about to run judge what it reads of params.yaml.

    Parameters
    ----------
    root
        Directory of the project.
    pipeline
        Its stages.
    force
        All of them are about to run.

    Raises
    ------
    ParameterError
        A stage would refuse to run.

    Notes
    -----
    To judge is to import the stages, so nothing is judged where nothing is to run.
    """
    stages = {name: commands for name, (commands, keys) in pipeline.readers().items() if keys}
    if not stages or not (force or any(reasons for _, reasons in pipeline.changes())):
        return
    found = {name: _judge(commands, root) for name, commands in stages.items()}
    if not any(found.values()):
        return
    running = set(found) if force else {name for name, _, _ in pipeline.outdated()}
    # Several stages may read the same key.
    lines = dict.fromkeys(line for name, lines in found.items() if name in running for line in lines)
    if lines:
        raise ParameterError("\n".join(lines))


def _judge(commands: Sequence[str], root: Path) -> list[str]:
    lines = []
    for model in models(commands, root):
        from tasks._params import load_params

        try:
            load_params(model, os.path.relpath(root / PARAMS))
        except ParameterError as error:
            lines += str(error).splitlines()
    return lines


def models(commands: Sequence[str], root: Path) -> Iterator[Any]:
    """Yield the models of the parameters of those of Lockstep's stages that `commands` run."""
    for command in commands:
        found = re.match(r"python -m (tasks\.[A-Za-z]\w*)\b", command)
        if found is None or "--params" in command:
            continue
        try:
            module = importlib.import_module(found[1])
            from tasks._params import Params
        except (ImportError, SyntaxError):
            # The stage itself will say so.
            continue
        own = root.joinpath(*found[1].split(".")).with_suffix(".py")
        # Another clone may be installed than the one whose stage is about to run.
        if not (own.is_file() and module.__file__ and filecmp.cmp(own, module.__file__, shallow=False)):
            continue
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, Params) and value.__module__ == module.__name__:
                yield value
