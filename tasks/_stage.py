"""What every stage's `main` shares: its arguments, its key, its outputs, its errors."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lockstep.errors import LockstepError, StageFailed, UsageError
from lockstep.files import write_atomic
from lockstep.processes import die_with_parent
from tasks._host import Meter, forget_peak_memory
from tasks._provenance import MEASURED, digest_of, provenance

_PROJECT = Path(__file__).resolve().parent.parent


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        raise UsageError(f"{self.prog}: {message}. The command stands in dvc.yaml.")


def arguments(
    name: str, argv: Sequence[str] | None, *paths: str, several: Sequence[str] = ()
) -> argparse.Namespace:
    """Parse the paths that dvc.yaml hands to the stage `name`: an option each, all required, `several` a list."""
    parser = _Parser(prog=f"tasks.{name}")
    for path in paths:
        parser.add_argument(f"--{path}", required=True, type=Path)
    for path in several:
        parser.add_argument(f"--{path}", required=True, type=Path, nargs="+")
    parser.add_argument("--params", type=Path, default=Path("params.yaml"))
    return parser.parse_args(argv)


def to_json(document: object) -> bytes:
    """Bytes of a report: the same document gives the same bytes; NaN is refused."""
    return (json.dumps(document, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def write_report(path: Path, document: object) -> None:
    """Write a JSON report of counts and statistics."""
    write_atomic(path, to_json(document))


def read_report(path: Path) -> dict[str, Any]:
    """Read the JSON report of an earlier stage."""
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise LockstepError(f"{path} does not exist. Run the stages before this one: `dvc repro`.") from None
    except ValueError:
        raise LockstepError(f"{path} is no JSON. Delete it and run `dvc repro`.") from None
    if not isinstance(document, dict):
        raise LockstepError(f"{path} is no report of Lockstep. Delete it and run `dvc repro`.")
    return document


@contextmanager
def measured(stage: str, made: Path | None = None) -> Iterator[dict[str, Any]]:
    """Collect what a clock or the host gives, the commit and the libraries; no output holds any of that.

    It goes to .lockstep/measured/STAGE.json, which counts as long as the report `made` stays what it is after the
    stage. Without one, commit and libraries are left out: nothing would tell later whose they are.
    """
    figures: dict[str, Any] = {"run": provenance()} if made else {}
    forget_peak_memory()
    meter = Meter()
    yield figures
    figures |= meter.read()
    if made:
        figures["made"] = digest_of(made)
    write_report(MEASURED / f"{stage}.json", figures)


def explain(error: BaseException) -> str:
    """Message of `error` that holds nothing of a person: the words of other libraries may quote a value."""
    if isinstance(error, LockstepError):
        return str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.strerror}: {error.filename}" if error.filename else str(error.strerror)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _PROJECT in Path(frame.filename).parents]
    where = (own or frames)[-1]
    return (
        f"Unexpected {type(error).__name__} at {Path(where.filename).name}:{where.lineno} ({where.name}). "
        "Its text is withheld, for it may quote a row. To see it, run the same command by hand "
        "with LOCKSTEP_SHOW_ERRORS=1."
    )


def command(main: Callable[[], None]) -> None:
    """Run a stage as a program: a known error ends in one message and its exit code, never in a traceback."""
    if os.environ.get("DVC_STAGE"):
        # `dvc repro` killed with SIGKILL would leave this process writing its output beside the next run's.
        die_with_parent()
    try:
        main()
    except LockstepError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        if os.environ.get("LOCKSTEP_SHOW_ERRORS") == "1":
            raise
        print(f"error: {explain(error)}", file=sys.stderr)
        raise SystemExit(StageFailed.exit_code) from None
