"""The keyring: a project's keys, in a file outside of its workspace."""

from __future__ import annotations

import base64
import binascii
import fcntl
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lockstep.errors import KeyMissing, KeyringError
from lockstep.files import make_directory, write_atomic
from lockstep.sealing.cobblestone import Buffer
from lockstep.sealing.header import is_project
from lockstep.sealing.keys import DigestKey, Key, from_token, is_key_id

KEYRING_VARIABLE = "LOCKSTEP_KEYRING"
KEY_VARIABLE = "LOCKSTEP_KEY"

_FORMAT = "lockstep-keyring/1"
_PRIVATE_FILE = 0o600
_PRIVATE_DIRECTORY = 0o700


class Keyring:
    """Several keys with ids, one of them active, and the project's digest key.

    Parameters
    ----------
    keys
        The keys, oldest first.
    active
        Id of the one that new projects files name.
    digest_key
        Names contents; stays when keys change.
    source
        Where the keyring was read, for messages.
    """

    def __init__(self, keys: Mapping[str, Key], active: str, digest_key: DigestKey, source: str) -> None:
        if active not in keys:
            raise KeyringError(f"{source} names {active!r} as its active key but does not hold it.")
        self.keys = dict(keys)
        self.active = active
        self.digest_key = digest_key
        self.source = source

    @classmethod
    def generate(cls, source: str) -> Keyring:
        """A keyring with one new random key."""
        key = Key.generate()
        return cls({key.id: key}, key.id, DigestKey.generate(), source)

    def key(self, key_id: str, named_by: str) -> Key:
        """The key with id `key_id`.

        Raises
        ------
        KeyMissing
            The keyring has no such key; `named_by` says who asked for it.
        """
        try:
            return self.keys[key_id]
        except KeyError:
            raise KeyMissing(_missing(key_id, named_by, self.source)) from None

    def digest(self, plaintext: Buffer) -> str:
        """Keyed digest of a content, 64 hexadecimal digits: the same under every key of the keyring."""
        return self.digest_key.digest(plaintext)

    def merged(self, other: Keyring) -> Keyring:
        """This keyring with the keys of `other` too, whose active key becomes active if it is new here.

        Raises
        ------
        KeyringError
            `other` is another project's: its digest key is not the same.
        """
        if other.digest_key.reveal() != self.digest_key.reveal():
            raise KeyringError(
                f"{other.source} holds another project's keys than {self.source}, or was made apart from it. "
                f"Name another keyring with {KEYRING_VARIABLE}, or move {self.source} away."
            )
        active = self.active if other.active in self.keys else other.active
        return Keyring(self.keys | other.keys, active, self.digest_key, self.source)

    def to_json(self) -> bytes:
        """Content of the keyring file, in clear."""
        document = {
            "format": _FORMAT,
            "active": self.active,
            "digest_key": base64.b64encode(self.digest_key.reveal()).decode(),
            "keys": [
                {"id": key.id, "key": base64.b64encode(key.reveal()).decode()} for key in self.keys.values()
            ],
        }
        return (json.dumps(document, indent=2) + "\n").encode()

    @classmethod
    def from_json(cls, content: bytes, source: str) -> Keyring:
        """Inverse of `to_json`; raises KeyringError."""
        try:
            document = json.loads(content)
            if document["format"] != _FORMAT:
                raise KeyringError(
                    f"{source} is a keyring of another format than {_FORMAT!r}. Upgrade Lockstep."
                )
            keys = {entry["id"]: Key(_decode(entry["key"])) for entry in document["keys"]}
            digest_key, active = DigestKey(_decode(document["digest_key"])), document["active"]
            known = is_key_id(active)
        except (ValueError, TypeError, LookupError, RecursionError):
            known = False
        if not known:
            # What could not be parsed may be key material: nothing of it goes into the message.
            raise KeyringError(f"{source} is no keyring, or was damaged. Restore its backup.")
        wrong = [key_id for key_id, key in keys.items() if key.id != key_id]
        if wrong:
            raise KeyringError(f"{source} was damaged: key {wrong[0]} is not the one it names. Restore it.")
        return cls(keys, active, digest_key, source)

    def __repr__(self) -> str:
        return f"<Keyring {self.source}: {', '.join(self.keys)}; active {self.active}>"


def keyring_path(project: str) -> Path:
    """Where the keyring of `project` lies: LOCKSTEP_KEYRING, else ~/.config/lockstep/PROJECT/keyring.json.

    The file itself where a symbolic link leads to it: a write beside the link would part the two.
    """
    if os.environ.get(KEYRING_VARIABLE):
        return Path(os.environ[KEYRING_VARIABLE]).expanduser().resolve()
    if not is_project(project):
        raise KeyringError(
            f"A project id has letters, digits and ._+- and starts with a letter or digit. Received: "
            f"{project!r}. Correct `project` in params.yaml."
        )
    configuration = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return (Path(configuration).expanduser() / "lockstep" / project / "keyring.json").resolve()


def open_keyring(project: str) -> Keyring:
    """Read the keyring of `project`; where LOCKSTEP_KEY is set, its key alone.

    Raises
    ------
    KeyringError
        There is none, it is malformed, or others may read it.
    """
    token = os.environ.get(KEY_VARIABLE)
    if token:
        key, digest_key = from_token(token.strip())
        return Keyring({key.id: key}, key.id, digest_key, KEY_VARIABLE)
    path = keyring_path(project)
    try:
        return _read(path)
    except FileNotFoundError:
        raise KeyringError(
            f"The keyring {path} does not exist. Take over your team's, or your backup, with "
            "`lockstep keys import FILE`; a project without sealed files yet makes one with `lockstep keys new`."
        ) from None


def save_keyring(keyring: Keyring, path: Path) -> None:
    """Replace the keyring file at `path`; for its owner alone."""
    make_directory(path.parent, _PRIVATE_DIRECTORY)
    write_atomic(path, keyring.to_json(), _PRIVATE_FILE)


@contextmanager
def keyring_lock(path: Path) -> Iterator[None]:
    """Keep other processes from changing the keyring at `path` meanwhile."""
    make_directory(path.parent, _PRIVATE_DIRECTORY)
    descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, _PRIVATE_FILE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class SetUp:
    """What `set_up_keys` found or did.

    Attributes
    ----------
    keyring
        Where the keys are.
    key_id
        Id of the key that the project seals with.
    created
        The keyring is new: its owner must back it up.
    """

    keyring: str
    key_id: str
    created: bool


def set_up_keys(project: str, key_id_file: Path) -> SetUp:
    """Give a workspace its key; does nothing where it has one.

    The project's keyring is used where there is one. A new one is made only where no `key_id_file` exists:
    where it does, the project's files are sealed under a key that this machine lacks, and a new key would
    hide that.

    Raises
    ------
    KeyMissing
        `key_id_file` names a key that the keyring does not hold.
    KeyringError
        The keyring or `key_id_file` cannot be used.
    """
    created = not os.environ.get(KEY_VARIABLE) and _create(keyring_path(project), key_id_file)
    keyring = open_keyring(project)
    if key_id_file.exists():
        key_id = keyring.key(read_key_id(key_id_file), str(key_id_file)).id
    else:
        key_id = keyring.active
        write_atomic(key_id_file, f"{key_id}\n".encode())
    return SetUp(keyring.source, key_id, created)


def import_keys(project: str, imported: Keyring) -> Keyring:
    """Add the keys of `imported` to the project's keyring, or make it of them; gives the keyring.

    Raises
    ------
    KeyringError
        The keyring holds another project's keys, or cannot be used.
    """
    path = keyring_path(project)
    with keyring_lock(path):
        keyring = _read(path).merged(imported) if path.exists() else imported
        save_keyring(keyring, path)
        return _read(path)


def read_key_id(path: Path) -> str:
    """The key id that the file at `path` holds; raises KeyringError."""
    try:
        content = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise KeyringError(f"{path} does not exist. Make it with `lockstep keys new`.") from None
    except UnicodeDecodeError:
        content = ""
    if not is_key_id(content):
        raise KeyringError(
            f"{path} must hold a key id of 16 hexadecimal digits. Restore it, or delete it and run "
            "`lockstep keys new`."
        )
    return content


def _create(path: Path, key_id_file: Path) -> bool:
    if path.exists():
        return False
    with keyring_lock(path):
        if path.exists():
            return False
        if key_id_file.exists():
            key_id = read_key_id(key_id_file)
            raise KeyMissing(_missing(key_id, str(key_id_file), f"{path}, which does not exist"))
        save_keyring(Keyring.generate(str(path)), path)
        return True


def _read(path: Path) -> Keyring:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _refuse_others(path, os.fstat(descriptor), path.parent.stat())
    except BaseException:
        os.close(descriptor)
        raise
    with os.fdopen(descriptor, "rb") as file:
        return Keyring.from_json(file.read(), str(path))


def _missing(key_id: str, named_by: str, source: str) -> str:
    return (
        f"Key {key_id}, named by {named_by}, is not in the keyring {source}. Take it over from who has it: "
        "there `lockstep keys export FILE`, here `lockstep keys import FILE`."
    )


def _decode(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        raise ValueError from None


def _refuse_others(path: Path, file: os.stat_result, directory: os.stat_result) -> None:
    """Refuse a keyring that others may read, own or put another in place of."""
    if not stat.S_ISREG(file.st_mode):
        raise KeyringError(f"The keyring {path} is no file. Name one with {KEYRING_VARIABLE}.")
    mode = stat.S_IMODE(file.st_mode)
    if mode & ~_PRIVATE_FILE:
        raise KeyringError(f"The keyring {path} is open to others (mode {mode:o}). `chmod 600 {path}`.")
    if file.st_uid not in (os.geteuid(), 0):
        raise KeyringError(
            f"The keyring {path} belongs to the user with id {file.st_uid}, who may change it. `chown` it."
        )
    # With the sticky bit a directory lets its files' owners alone replace them.
    mode = stat.S_IMODE(directory.st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        raise KeyringError(
            f"Others may replace the keyring {path}: its directory has mode {mode:o}. `chmod go-w {path.parent}`."
        )
