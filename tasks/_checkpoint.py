"""Where a stage's training run outlives a kill: sealed scratch that only the same stage finds again."""

from __future__ import annotations

import ast
import hashlib
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from lockstep.errors import LockstepError
from lockstep.models import checkpoints
from lockstep.models.checkpoints import State
from lockstep.sealing.vault import Vault
from tasks._params import Params

FOLDER = Path(".lockstep/checkpoints")

_PROJECT = Path(__file__).resolve().parent.parent
_ROOMS = ("tasks", "lockstep")


class SealedCheckpoint:
    """The state of a stage's training run, under the digest of all that it depends on.

    Parameters
    ----------
    vault
        What seals it.
    stage
        Name of the stage, whose module is ``tasks.STAGE``.
    inputs
        What it has read. Not the files: they may be others by the time that they are read again.
    params
        Its parameters.
    """

    def __init__(self, vault: Vault, stage: str, inputs: Sequence[bytes], params: Params) -> None:
        self._vault = vault
        identity = {
            "inputs": [_digest(content) for content in inputs],
            "params": params.model_dump(mode="json"),
            "code": {name: _digest(source) for name, source in _sources(f"tasks.{stage}").items()},
            "versions": checkpoints.versions(),
        }
        # Keyed, for contents and parameters may be guessed.
        self._digest = vault.digest(json.dumps(identity, sort_keys=True).encode())
        self._folder = FOLDER / stage

    def path(self, member: int = 0) -> Path:
        """Where the state of a member of an ensemble lies."""
        return self._folder / f"{self._digest}-{member}.sealed"

    def load(self, member: int = 0) -> State | None:
        """State to go on from; None where there is none, or one that cannot be opened."""
        path = self.path(member)
        if not path.exists():
            return None
        try:
            content = self._vault.read(path, role="checkpoint", schema=checkpoints.SCHEMA)
            state = checkpoints.from_bytes(content)
        except (LockstepError, OSError):
            _notice(f"{path} cannot be opened: training begins anew.")
            return None
        _notice(f"training resumes after epoch {len(state.curve)}, from {path}.")
        return state

    def save(self, state: State, member: int = 0) -> None:
        """Keep `state`; without room for it training goes on."""
        path = self.path(member)
        try:
            self._vault.write(
                path,
                checkpoints.to_bytes(state),
                role="checkpoint",
                schema=checkpoints.SCHEMA,
                random_salt=True,
            )
        except OSError as error:
            _notice(f"{path} cannot be written: {error.strerror}. A killed training would begin anew.")

    def discard(self) -> None:
        """Delete it, and every stale one of the stage."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _notice(text: str) -> None:
    print(f"notice: {text}", file=sys.stderr, flush=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sources(module: str) -> dict[str, bytes]:
    """Source of every first-party module that `module` may run, by name: the modules that dvc.yaml declares."""
    found: dict[str, bytes] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _PROJECT.joinpath(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name not in found and path.is_file():
            found[name] = path.read_bytes()
            waiting += _imports(found[name])
            # Python runs the packages above a module first.
            waiting += [name.rpartition(".")[0]] if "." in name else []
    return found


def _imports(source: bytes) -> Iterator[str]:
    """Names of first-party modules that `source` imports; some are those of what a module holds."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        yield from (name for name in names if name.split(".")[0] in _ROOMS)
