"""What a stage wants to be run, and whether that is a call of one of Lockstep's own."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

# Anything else may mean something to a shell.
_PLAIN = re.compile(r"[\w \t./=:,@%+'\"-]+")
_MAIN = re.compile(r"^def main\(", re.MULTILINE)
_HEAVY = re.compile(r"^HEAVY = (\(.*\))$", re.MULTILINE)


class StageCall(NamedTuple):
    """A stage as a call of its `main`.

    Attributes
    ----------
    module, argv
        Of the stage.
    heavy
        What takes long to import of all that it needs: its module's ``HEAVY``.
    """

    module: str
    argv: list[str]
    heavy: tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """What one stage wants to be run.

    Attributes
    ----------
    stage
        Name of the stage.
    lines
        The commands as they stand in dvc.yaml, to be run one after the other.
    programs
        The same commands as DVC would start them.
    root, wdir
        Directory of the project, and the one to run in.
    env
        Whole environment.
    """

    stage: str
    lines: tuple[str, ...]
    programs: tuple[tuple[str, ...], ...]
    root: str
    wdir: str
    env: Mapping[str, str]

    def as_call(self) -> StageCall | None:
        """The call where the command is one plain ``python -m tasks.NAME ARGS`` in the root."""
        if len(self.lines) != 1 or self.wdir != self.root or not _PLAIN.fullmatch(self.lines[0]):
            return None
        try:
            words = shlex.split(self.lines[0])
        except ValueError:
            return None
        if (
            words[:2] != ["python", "-m"]
            or len(words) < 3
            or not re.fullmatch(r"tasks\.[A-Za-z]\w*", words[2])
        ):
            return None
        path = Path(self.root, *words[2].split(".")).with_suffix(".py")
        source = path.read_text("utf-8") if path.is_file() else ""
        if not _MAIN.search(source):
            return None
        heavy = _HEAVY.search(source)
        return StageCall(words[2], words[3:], ast.literal_eval(heavy[1]) if heavy else ())
