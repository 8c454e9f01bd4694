"""`lockstep keys rotate` and `lockstep keys destroy`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flows.commands._project import project_root
from lockstep.errors import UsageError

Params = Annotated[Path, typer.Option("--params", help="Parameter file that names the project.")]
PARAMS = Path("params.yaml")


def rotate(params: Params = PARAMS) -> None:
    """Make a new active key, and seal under it all that dvc.lock names; or finish an interrupted rotation."""
    from rich.console import Console

    from flows import _rotation
    from flows._cache import Store
    from flows._erasure import left_behind
    from flows.commands.sealing import project_of
    from lockstep.bundle.registry import registry_root
    from lockstep.sealing.keyring import open_keyring

    root, project, console = project_root(), project_of(params), Console()
    interrupted = _rotation.is_interrupted(root)
    with console.status("Sealing anew"):
        plan = _rotation.rotate(root, project)
    store = Store(root)
    try:
        older = open_keyring(project).keys.keys() - {plan.key_id}
        left = left_behind(store, registry_root(root / "registry"), older)
    finally:
        store.close()
    typer.echo(
        f"{'Finished the interrupted rotation' if interrupted else 'Rotated'} to key {plan.key_id}: "
        f"{len(plan.changes)} files and directories changed, no stage has to run.\n"
        "Older versions and bundles stay under the old key until `lockstep keys destroy`.\n"
        + (f"So do these, which are no outputs of the pipeline: {', '.join(left)}.\n" if left else "")
        + "Now back the keyring up (`lockstep keys export FILE`, also for your team), commit dvc.lock and\n"
        "lockstep.key-id where your project tracks them, and `dvc push`."
    )


def destroy(
    key_id: Annotated[str, typer.Argument(help="Id of the key, as `lockstep keys list` shows it.")],
    activate: Annotated[
        str | None, typer.Option(help="Key that becomes the active one, where KEY_ID is that now.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    params: Params = PARAMS,
) -> None:
    """Destroy a key: what was sealed under it is erased, in every cache, remote and backup."""
    from flows._cache import Store
    from flows._erasure import cost
    from flows._locks import RUN, only_one
    from flows.commands.sealing import project_of
    from lockstep.bundle.registry import registry_root
    from lockstep.sealing.keyring import open_keyring
    from lockstep.sealing.rotation import activate_key, destroy_key

    root, project = project_root(), project_of(params)
    keyring = open_keyring(project)
    keyring.key(key_id, "the command")
    _refuse_key_in_use(root, key_id, keyring.active, activate)
    store = Store(root)
    try:
        busy = "The pipeline runs ({owner}). Destroy when it has ended."
        with only_one(root / RUN, busy, keep=True):
            what = cost(store, registry_root(root / "registry"), key_id)
            typer.echo(f"With key {key_id} of {keyring.source} these become unreadable, for good:")
            for line in what.lines():
                typer.echo(f"  {line}")
            typer.echo(
                "and every copy of theirs in DVC remotes, backups and other clones, and what lies elsewhere."
            )
            if not yes and typer.prompt("Type the key's id to destroy it", default="") != key_id:
                raise UsageError("Nothing was destroyed: that is not the key's id.")
            if activate is not None:
                activate_key(project, activate)
            destroy_key(project, key_id)
    finally:
        store.close()
    typer.echo(
        f"Destroyed key {key_id}. Who has another copy of it (an export, a backup, a colleague's keyring) "
        "can still read: destroy those too."
    )
    if what.champions:
        typer.echo(f"{', '.join(what.champions)} can no longer be served: `lockstep deploy`.")


def _refuse_key_in_use(root: Path, key_id: str, active: str, activate: str | None) -> None:
    from flows import _rotation
    from lockstep.sealing.keyring import read_key_id

    if _rotation.is_interrupted(root):
        raise UsageError("A rotation was interrupted. Finish it first: `lockstep keys rotate`.")
    key_file = root / _rotation.KEY_ID
    if key_file.exists() and read_key_id(key_file) == key_id:
        raise UsageError(f"This workspace seals with key {key_id}. Run `lockstep keys rotate` first.")
    if key_id == (activate or active):
        raise UsageError(
            f"Key {key_id} is the active one. Run `lockstep keys rotate` first, or name another with --activate."
        )
