"""Changing keys: a new one comes into the keyring, files are sealed anew under it, an old one is destroyed."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from lockstep.errors import KeyringError
from lockstep.sealing.keyring import (
    KEY_VARIABLE,
    Keyring,
    keyring_lock,
    keyring_path,
    open_keyring,
    save_keyring,
)
from lockstep.sealing.keys import Key
from lockstep.sealing.vault import Vault


def vault_of_new_key(project: str) -> tuple[Vault, Key]:
    """A vault that opens with every key of the project and seals with a new one, which no keyring holds yet."""
    _refuse_variable()
    _refuse_second_name(keyring_path(project))
    keyring, key = open_keyring(project), Key.generate()
    extended = Keyring(keyring.keys | {key.id: key}, keyring.active, keyring.digest_key, keyring.source)
    return Vault(project, extended, key), key


def reseal(vault: Vault, source: Path, target: Path) -> None:
    """Seal what the sealed file `source` holds into `target`, in constant memory and with the same header but the key.

    Raises
    ------
    SealError
        `source` cannot be opened: every tag of it is checked before anything is written.
    """
    vault.verify(source, role=None, schema=None)
    with vault.reader(source, role=None, schema=None) as reader:
        header = reader.header
        vault.seal_stream(
            reader,  # type: ignore[arg-type]
            target,
            role=header.role,
            schema=header.schema,
            random_salt=header.random_salt,
        )


def add_key(project: str, key: Key) -> None:
    """Put `key` into the project's keyring; another stays active."""
    _change(project, lambda old: Keyring(old.keys | {key.id: key}, old.active, old.digest_key, old.source))


def activate_key(project: str, key_id: str) -> None:
    """Make a key of the project's keyring the active one; raises KeyMissing."""

    def change(old: Keyring) -> Keyring:
        return Keyring(old.keys, old.key(key_id, "the command").id, old.digest_key, old.source)

    _change(project, change)


def destroy_key(project: str, key_id: str) -> None:
    """Take a key out of the project's keyring for good.

    The bytes of the old keyring file are overwritten as far as the file system lets a program do that.

    Raises
    ------
    KeyringError
        It is the active key.
    KeyMissing
        The keyring does not hold it.
    """

    def change(old: Keyring) -> Keyring:
        if old.key(key_id, "the command").id == old.active:
            raise KeyringError(
                f"Key {key_id} is the active one. Make another with `lockstep keys rotate` first."
            )
        left = {each: key for each, key in old.keys.items() if each != key_id}
        return Keyring(left, old.active, old.digest_key, old.source)

    _change(project, change, overwrite=True)


def _change(project: str, change: Callable[[Keyring], Keyring], *, overwrite: bool = False) -> None:
    _refuse_variable()
    # A link stays one: what it leads to is the keyring.
    path = keyring_path(project).resolve()
    with keyring_lock(path):
        _refuse_second_name(path)
        keyring = change(open_keyring(project))
        # Killed writes may have left the key too, under names of their own.
        gone = [path, *path.parent.glob(f".{path.name}.*.tmp")] if overwrite else []
        with ExitStack() as stack:
            files = [stack.enter_context(each.open("r+b")) for each in gone]
            save_keyring(keyring, path)
            for file in files:
                # Its name is gone, or soon will be; its blocks are not.
                file.write(bytes(os.fstat(file.fileno()).st_size))
                file.flush()
                os.fsync(file.fileno())
        for leftover in gone[1:]:
            leftover.unlink()


def _refuse_second_name(path: Path) -> None:
    """A change gives the file's first name another content: the second one would keep a key that was destroyed."""
    if path.exists() and path.stat().st_nlink > 1:
        raise KeyringError(
            f"The keyring {path} has a second name (a hard link), which would keep the keys as they are. Find it with "
            f"`find / -samefile {path}`, delete it or replace it by a copy, and try again."
        )


def _refuse_variable() -> None:
    if os.environ.get(KEY_VARIABLE):
        raise KeyringError(
            f"{KEY_VARIABLE} carries a single key that cannot be changed here. Unset it where the keyring is."
        )
