"""`lockstep keys`, `seal`, `open` and `inspect`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from flows.commands import rotation
from lockstep.errors import KeyMissing, KeyringError, LockstepError, SealError, UsageError

if TYPE_CHECKING:
    from lockstep.sealing.header import Header

keys = typer.Typer(help="The project's keys.", no_args_is_help=True)
keys.command("rotate")(rotation.rotate)
keys.command("destroy")(rotation.destroy)

_Params = Annotated[Path, typer.Option("--params", help="Parameter file that names the project.")]
_KeyId = Annotated[Path, typer.Option("--key-id", help="File that names the key to seal with.")]
_Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
_PassphraseFile = Annotated[
    Path | None, typer.Option("--passphrase-file", help="Read the passphrase from a file instead of asking.")
]
_Role = Annotated[str | None, typer.Option(help="What the file has to be, such as train or model.")]
_Schema = Annotated[str | None, typer.Option(help="Format that its content has to have, such as table/1.")]

_EXISTS = "{} exists. Name another file, or replace it with --force."

PARAMS = Path("params.yaml")
KEY_ID = Path("lockstep.key-id")


@keys.command("new")
def keys_new(params: _Params = PARAMS, key_id: _KeyId = KEY_ID) -> None:
    """Give this workspace its key; make a keyring only where the project has none."""
    from lockstep.sealing.keyring import set_up_keys

    done = set_up_keys(project_of(params), key_id)
    if done.created:
        typer.echo(
            f"Made the keyring {done.keyring}.\n"
            "BACK IT UP: without it nobody can open any sealed file again. For a backup or a colleague,\n"
            "`lockstep keys export FILE` writes a copy under a passphrase."
        )
    typer.echo(f"This workspace seals with key {done.key_id} of {done.keyring}.")


@keys.command("list")
def keys_list(params: _Params = PARAMS, key_id: _KeyId = KEY_ID) -> None:
    """List the ids of the project's keys, oldest first."""
    from lockstep.sealing.keyring import open_keyring, read_key_id

    keyring = open_keyring(project_of(params))
    named = read_key_id(key_id) if key_id.exists() else None
    typer.echo(f"Keys of {keyring.source}:")
    for each in keyring.keys:
        marks = [
            mark for mark, holds in (("active", each == keyring.active), (key_id, each == named)) if holds
        ]
        typer.echo(f"{each}  {', '.join(map(str, marks))}".rstrip())
    if named is not None:
        keyring.key(named, str(key_id))


@keys.command("export")
def keys_export(
    file: Annotated[Path, typer.Argument(help="File to write.")],
    container: Annotated[
        bool,
        typer.Option("--container", help="Write the active key, in clear, as an environment file."),
    ] = False,
    passphrase_file: _PassphraseFile = None,
    force: _Force = False,
    params: _Params = PARAMS,
) -> None:
    """Copy the project's keys to a file, under a passphrase."""
    from lockstep.files import write_atomic
    from lockstep.sealing.keyring import KEY_VARIABLE, open_keyring
    from lockstep.sealing.keys import to_token
    from lockstep.sealing.wrapping import wrap

    _refuse_existing(file, force)
    keyring = open_keyring(project_of(params))
    if container:
        token = to_token(keyring.keys[keyring.active], keyring.digest_key)
        content, what = f"{KEY_VARIABLE}={token}\n".encode(), f"Key {keyring.active} stands IN CLEAR in"
    else:
        content = wrap(keyring, _passphrase(passphrase_file, confirm=True))
        what = f"{len(keyring.keys)} keys stand, under the passphrase, in"
    with _created(file):
        write_atomic(file, content, 0o600, overwrite=force)
    typer.echo(f"{what} {file}.")


@keys.command("import")
def keys_import(
    file: Annotated[Path, typer.Argument(help="What `lockstep keys export` wrote.")],
    passphrase_file: _PassphraseFile = None,
    params: _Params = PARAMS,
) -> None:
    """Add the keys of an exported file to the project's keyring."""
    from lockstep.sealing.keyring import import_keys
    from lockstep.sealing.wrapping import unwrap

    project = project_of(params)
    with _existing(file) as source:
        content = source.read()
    keyring = import_keys(project, unwrap(content, _passphrase(passphrase_file), str(file)))
    typer.echo(f"{keyring.source} holds {', '.join(keyring.keys)}; active is {keyring.active}.")


def seal(
    file: Annotated[Path, typer.Argument(help="File to seal; - is the standard input.")],
    role: Annotated[str, typer.Option(help="What it is, such as train or model.")],
    schema: Annotated[str, typer.Option(help="Format of its content, such as table/1.")],
    out: Annotated[Path | None, typer.Option(help="File to write; FILE.sealed unless given.")] = None,
    random_salt: Annotated[
        bool, typer.Option("--random-salt", help="Do not show that two files hold the same.")
    ] = False,
    force: _Force = False,
    params: _Params = PARAMS,
    key_id: _KeyId = KEY_ID,
) -> None:
    """Seal a file."""
    from lockstep.sealing.vault import open_vault

    if out is None:
        if str(file) == "-":
            raise UsageError("Name the file to write: `lockstep seal - --out FILE`.")
        out = file.with_name(file.name + ".sealed")
    _refuse_existing(out, force)
    vault = open_vault(project_of(params), key_id)
    with _standard_input() if str(file) == "-" else _existing(file) as source, _created(out):
        vault.seal_stream(source, out, role=role, schema=schema, random_salt=random_salt, overwrite=force)
    typer.echo(f"Sealed {file} into {out}.")


def open_(
    file: Annotated[Path, typer.Argument(help="Sealed file.")],
    out: Annotated[Path | None, typer.Option(help="File to write; the standard output unless given.")] = None,
    role: _Role = None,
    schema: _Schema = None,
    force: _Force = False,
) -> None:
    """Open a sealed file: write its content, once all of it was checked."""
    from lockstep.sealing.vault import open_vault

    if out is not None:
        _refuse_existing(out, force)
    vault = open_vault(_header(file).project, None)
    if out is not None:
        with _created(out):
            vault.open_file(file, out, role=role, schema=schema, overwrite=force)
        return
    # What is on the standard output cannot be taken back, so the end is checked before the start is written.
    vault.verify(file, role=role, schema=schema)
    try:
        with file.open("rb") as source:
            vault.open_stream(source, sys.stdout.buffer, role=role, schema=schema, name=str(file))
        sys.stdout.buffer.flush()
    except OSError as error:
        # Python would try to write the rest at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise LockstepError(f"The standard output took only a part of {file}: {error.strerror}.") from None


def inspect(files: Annotated[list[Path], typer.Argument(help="Sealed files.")]) -> None:
    """Show what sealed files say of themselves, and check that they are whole.

    It ends with 1 where a file is damaged or not sealed; one whose key is not at hand is shown unchecked.
    """
    from lockstep.sealing._naming import naming
    from lockstep.sealing.cobblestone import plaintext_size
    from lockstep.sealing.vault import open_vault

    broken = []
    for file in files:
        typer.echo(f"{file}")
        try:
            header = _header(file)
        except SealError as error:
            typer.echo(f"  {'state':10} UNREADABLE. {error}")
            broken.append(str(file))
            continue
        size = "unknown"
        try:
            with naming(str(file)):
                size = f"{plaintext_size(file.stat().st_size - len(header.encode())):,} bytes"
            open_vault(header.project, None).verify(file, role=None, schema=None)
            verdict = "whole, and sealed by the key that it names"
        except (KeyMissing, KeyringError) as error:
            verdict = f"not checked. {error}"
        except SealError as error:
            size, verdict = "unknown", f"DAMAGED. {error}"
            broken.append(str(file))
        facts = {
            "project": header.project,
            "role": header.role,
            "schema": header.schema,
            "key": header.key_id,
            "algorithm": "Cobblestone-256, format version 1",
            "salt": "random" if header.random_salt else "synthetic: equal contents give equal files",
            "content": size,
            "state": verdict,
        }
        for name, fact in facts.items():
            typer.echo(f"  {name:10} {fact}")
    if broken:
        raise LockstepError(
            f"Damaged or not sealed: {', '.join(broken)}. `lockstep fsck --repair` brings back what the pipeline made."
        )


def project_of(params: Path) -> str:
    """The project that a parameter file names."""
    from tasks._params import Params, key, load_params

    class Project(Params):
        project: str = key("project")

    return load_params(Project, params).project


def _header(file: Path) -> Header:
    from lockstep.sealing._naming import naming
    from lockstep.sealing.header import read_header

    with _existing(file) as source, naming(str(file)):
        return read_header(source)[0]


def _refuse_existing(file: Path, force: bool) -> None:
    if file.is_dir():
        raise UsageError(f"{file} is a directory. Name a file in it.")
    if file.exists() and not force:
        raise UsageError(_EXISTS.format(file))


@contextmanager
def _created(file: Path) -> Iterator[None]:
    """Say it where `file` came into being while its content was made."""
    try:
        yield
    except FileExistsError:
        raise UsageError(_EXISTS.format(file)) from None


def _passphrase(file: Path | None, *, confirm: bool = False) -> str:
    """The passphrase: never from an argument, which every process of the machine may read."""
    if file is None:
        return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=confirm))
    with _existing(file) as source:
        try:
            return source.read().decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise UsageError(f"{file} is no text in UTF-8. Write the passphrase so.") from None


def _existing(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except FileNotFoundError:
        raise UsageError(f"{file} does not exist. Name a file that does.") from None
    except IsADirectoryError:
        raise UsageError(f"{file} is a directory. Name a file in it.") from None


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise UsageError("The standard input is closed. Name a file, or send the content to it.")
    return sys.stdin.buffer
