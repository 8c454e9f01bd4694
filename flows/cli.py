"""The `lockstep` command. It imports the module of one verb only: scoring needs neither Prefect nor DVC."""

from __future__ import annotations

import atexit
import gc
import importlib
import os
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from lockstep.errors import LockstepError

if TYPE_CHECKING:
    import typer

#: Verb: module, name in it (a command, or a Typer app of several), and one line of help.
VERBS: dict[str, tuple[str, str, str]] = {
    "run": ("flows.commands.run", "run", "Bring the pipeline up to date, as a Prefect flow run."),
    "status": ("flows.commands.status", "status", "Say which stages would run, and why."),
    "apply": ("flows.commands.apply", "apply", "Bring an experiment into the workspace."),
    "search": ("flows.commands.search", "search", "Search for parameters that train a better model."),
    "cross-validate": (
        "flows.commands.cross_validate",
        "cross_validate",
        "Train and score once a fold: the mean and the spread of the metrics.",
    ),
    "compare": ("flows.commands.compare", "compare", "Compare the methods for one place in the pipeline."),
    "learning-curve": (
        "flows.commands.learning_curve",
        "learning_curve",
        "Train on growing shares of the rows: would more of them help?",
    ),
    "attack": ("flows.commands.attack", "attack", "Attack the model that ships: whom was it trained on?"),
    "tune": ("flows.commands.tune", "tune", "Propose a batch size or a learning rate from a few steps."),
    "up": ("flows.commands.up", "up", "Keep a Prefect server with its UI, and run the pipeline nightly."),
    "results": (
        "flows.commands.results",
        "results",
        "Show the metrics, the verdict and the bundle of the last run.",
    ),
    "report": ("flows.commands.report", "report", "Write the model card of the last run, and open it."),
    "explain": ("flows.commands.explain", "explain", "Show why a test row gets its probability."),
    "approve": ("flows.commands.approve", "approve", "Override gates that did not pass, for a reason."),
    "deploy": ("flows.commands.serving", "deploy", "Promote the candidate that passed its gates."),
    "serve": ("flows.commands.serving", "serve", "Answer scoring requests with the deployed bundle."),
    "predict": ("flows.commands.serving", "predict", "Score a table with the deployed bundle."),
    "init": ("flows.commands.init", "init", "Set the project up for a table of your own."),
    "refresh": ("flows.commands.refresh", "refresh", "Look whether a source elsewhere changed."),
    "keys": ("flows.commands.sealing", "keys", "Make, show, rotate and destroy the keys of the project."),
    "fsck": ("flows.commands.fsck", "fsck", "Check every stored file, and repair what was damaged."),
    "seal": ("flows.commands.sealing", "seal", "Encrypt a file."),
    "open": ("flows.commands.sealing", "open_", "Decrypt a file."),
    "inspect": ("flows.commands.sealing", "inspect", "Show the header of a sealed file."),
}

_ALLOW_MISSING = "--allow-missing"


def main() -> NoReturn:
    """Run the command line; a known error ends in one message and its exit code."""
    # Thousands of modules are objects that stay: to look for garbage among them takes a tenth of the start.
    gc.set_threshold(50_000)
    code = 0
    try:
        _dispatch(sys.argv[1:])
    except LockstepError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        code = 130
    except SystemExit as stop:
        if isinstance(stop.code, str):
            raise
        code = int(stop.code or 0)
    except Exception as error:
        if os.environ.get("LOCKSTEP_SHOW_ERRORS") == "1":
            raise
        from tasks._stage import explain

        print(f"error: {explain(error)}", file=sys.stderr)
        code = LockstepError.exit_code
    _leave(code)


def _leave(code: int) -> NoReturn:
    """End as Python does, but without taking apart every module, which takes longer than many a command."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (BrokenPipeError, ValueError):
            # Whoever read it may be gone.
            pass
        except OSError as error:
            with suppress(OSError, ValueError):
                os.write(2, f"error: The output cannot be written: {error.strerror}.\n".encode())
            code = code or LockstepError.exit_code
    os._exit(code)


def _dispatch(arguments: Sequence[str]) -> None:
    stages = [argument for argument in arguments[1:] if argument != _ALLOW_MISSING]
    if arguments[:1] == ["run"] and not any(stage.startswith("-") for stage in stages):
        from flows.commands._project import check_python, project_root, recover
        from flows.commands._up_to_date import nothing_to_do

        root = project_root()
        check_python()
        recover(root)
        if nothing_to_do(root, *stages, allow_missing=_ALLOW_MISSING in arguments):
            return
    verb = next((argument for argument in arguments if not argument.startswith("-")), None)
    try:
        app = _build(verb)
    except ModuleNotFoundError as error:
        raise LockstepError(
            f"`lockstep {verb}` needs {error.name}, which is not installed. Install `lockstep[pipeline]`."
        ) from None
    app(args=list(arguments), prog_name="lockstep")


def _build(verb: str | None) -> typer.Typer:
    import typer

    app = typer.Typer(
        help="A model's whole life as one pipeline with two doors: Prefect flows and `dvc repro`.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    for name, (module, attribute, help_line) in VERBS.items():
        target = getattr(importlib.import_module(module), attribute) if name == verb else _stub
        if isinstance(target, typer.Typer):
            app.add_typer(target, name=name, help=help_line)
        else:
            app.command(name, help=None if name == verb else help_line)(target)
    return app


def _stub() -> None:
    """Stands for a verb in the list of all."""


if __name__ == "__main__":
    main()
