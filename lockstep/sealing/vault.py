"""The vault: seals a project's artifacts and opens them again, each for what it is and nothing else."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from lockstep.errors import LockstepError, WrongContext
from lockstep.files import write_atomic
from lockstep.sealing._naming import naming
from lockstep.sealing.cobblestone import SALT_SIZE, Buffer, decrypt, encrypt
from lockstep.sealing.header import Header, parse_header
from lockstep.sealing.keyring import Keyring, open_keyring, read_key_id
from lockstep.sealing.keys import Key

PathLike = str | os.PathLike[str]


class Vault:
    """Seals with one key, opens with every key of the keyring.

    Parameters
    ----------
    project
        The project, which stands in every sealed file.
    keyring
        Its keys.
    key
        The one to seal with.
    """

    def __init__(self, project: str, keyring: Keyring, key: Key) -> None:
        self.project = project
        self._keyring = keyring
        self._key = key

    def seal(self, plaintext: Buffer, *, role: str, schema: str, random_salt: bool = False) -> bytes:
        """Seal `plaintext`; the same one gives the same bytes unless `random_salt`.

        Parameters
        ----------
        plaintext
            What to seal.
        role
            What it is in the pipeline ("train", "model").
        schema
            Its format ("table/1").
        random_salt
            Do not show that two files hold the same: for what no cache needs to recognise.
        """
        context = Header(self._key.id, self.project, role, schema, random_salt).encode()
        if random_salt:
            salt = secrets.token_bytes(SALT_SIZE)
        else:
            synthetic = self._key.synthetic_salt(context)
            synthetic.update(plaintext)
            salt = synthetic.finish()
        return context + encrypt(self._key.encryption, context, plaintext, salt)

    def open(self, sealed: Buffer, *, role: str, schema: str) -> bytes:
        """Plaintext of what `seal` returned.

        Raises
        ------
        NotSealed
            It does not start as a sealed file does.
        SealDamaged
            It was truncated or altered.
        SealUnsupported
            It has a version of the format that this Lockstep does not know.
        WrongContext
            It belongs to another project, role or schema.
        KeyMissing
            The key that it names is not in the keyring.
        """
        return self._open(sealed, role, schema, "The sealed content")

    def write(
        self, path: PathLike, plaintext: Buffer, *, role: str, schema: str, random_salt: bool = False
    ) -> None:
        """Seal `plaintext` into the file `path`, durably and in one step."""
        write_atomic(path, self.seal(plaintext, role=role, schema=schema, random_salt=random_salt))

    def read(self, path: PathLike, *, role: str, schema: str) -> bytes:
        """Plaintext of the sealed file `path`; raises as `open` does, naming the file."""
        try:
            sealed = Path(path).read_bytes()
        except FileNotFoundError:
            raise LockstepError(f"{path} does not exist. Make it with `dvc repro`.") from None
        return self._open(sealed, role, schema, str(path))

    def digest(self, plaintext: Buffer) -> str:
        """Keyed digest of a content, 64 hexadecimal digits: the same under every key and salt."""
        return self._keyring.digest(plaintext)

    def _open(self, sealed: Buffer, role: str, schema: str, name: str) -> bytes:
        with naming(name):
            header, context = parse_header(memoryview(sealed))
            key = self._admit(header, role, schema, name)
            return decrypt(key.encryption, context, memoryview(sealed)[len(context) :])

    def _admit(self, header: Header, role: str, schema: str, name: str) -> Key:
        """Key of a file that claims to be what is expected. Refusing here spares the work, and says why."""
        if header.project != self.project:
            raise WrongContext(
                f"{name} belongs to the project {header.project!r}, and this is {self.project!r}. Use a file "
                "of this project, or correct `project` in params.yaml."
            )
        if (header.role, header.schema) != (role, schema):
            raise WrongContext(
                f"{name} is a sealed {header.role!r} ({header.schema}), {role!r} ({schema}) was expected. "
                "Put the right file there, or make it anew with `dvc repro`."
            )
        return self._keyring.key(header.key_id, name)


def open_vault(project: str, key_id_file: PathLike) -> Vault:
    """The vault of `project`, sealing with the key that `key_id_file` names.

    Raises
    ------
    KeyringError
        The keyring or `key_id_file` is missing or cannot be used.
    KeyMissing
        The named key is not in the keyring.
    """
    keyring = open_keyring(project)
    return Vault(project, keyring, keyring.key(read_key_id(Path(key_id_file)), str(key_id_file)))
