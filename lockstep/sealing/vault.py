"""The vault: seals a project's artifacts and opens them again, each for what it is and nothing else."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from lockstep.errors import LockstepError, SealError, WrongContext
from lockstep.files import replaced, replaced_unseen, write_atomic
from lockstep.sealing._naming import naming
from lockstep.sealing.cobblestone import SALT_SIZE, Buffer, Message, decrypt
from lockstep.sealing.header import Header, parse_header
from lockstep.sealing.keyring import Keyring, open_keyring, read_key_id
from lockstep.sealing.keys import Key
from lockstep.sealing.reader import SealedReader
from lockstep.sealing.streams import open_file, open_stream, seal_stream, spooled

PathLike = str | os.PathLike[str]


class Vault:
    """Seals with one key, opens with every key of the keyring.

    What opens takes the `role` and `schema` that the file has to have. None takes any: for a person
    who looks, not for a stage. It raises

    - NotSealed where the content does not start as a sealed file does,
    - SealDamaged where it was truncated or altered,
    - SealUnsupported where it has a version of the format that this Lockstep does not know,
    - WrongContext where it belongs to another project, role or schema,
    - KeyMissing where the key that it names is not in the keyring,
    - LockstepError where there is no such file.

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
        context = self._header(role, schema, random_salt).encode()
        if random_salt:
            salt = secrets.token_bytes(SALT_SIZE)
        else:
            synthetic = self._key.synthetic_salt(context)
            synthetic.update(plaintext)
            salt = synthetic.finish()
        return Message(self._key.encryption, context, salt).encrypt(plaintext, before=context)

    def open(self, sealed: Buffer, *, role: str | None, schema: str | None) -> bytes:
        """Plaintext of what `seal` returned."""
        return self._open(sealed, role, schema, "The sealed content")

    def write(
        self, path: PathLike, plaintext: Buffer, *, role: str, schema: str, random_salt: bool = False
    ) -> None:
        """Seal `plaintext` into the file `path`, durably and in one step."""
        write_atomic(path, self.seal(plaintext, role=role, schema=schema, random_salt=random_salt))

    def read(self, path: PathLike, *, role: str | None, schema: str | None) -> bytes:
        """Plaintext of the sealed file `path`."""
        with _existing(path) as file:
            sealed = file.read()
        return self._open(sealed, role, schema, str(path))

    def seal_stream(
        self,
        source: BinaryIO,
        target: PathLike,
        *,
        role: str,
        schema: str,
        random_salt: bool = False,
        overwrite: bool = True,
    ) -> None:
        """Seal what `source` holds into the file `target`: the bytes of `seal`, in constant memory.

        `target` is written durably and in one step.

        Raises
        ------
        FileExistsError
            `target` exists and is not to be replaced (`overwrite`).
        SealError
            `source` changed meanwhile; `target` is then as it was.
        """
        with replaced(target, overwrite=overwrite) as file:
            try:
                seal_stream(
                    source, file, self._key, self._header(role, schema, random_salt), Path(target).parent
                )
            except SealError as error:
                raise SealError(f"{target} was not written: {error}. Run it again.") from None

    @contextmanager
    def writer(self, target: PathLike, *, role: str, schema: str) -> Iterator[BinaryIO]:
        """A file to write: it replaces `target` by the bytes of `seal`, in constant memory, or vanishes on an error.

        `target` is written durably and in one step, when all was taken.
        """
        with (
            replaced(target) as file,
            spooled(file, self._key, self._header(role, schema, False), Path(target).parent) as spool,
        ):
            yield cast("BinaryIO", spool)

    def open_stream(
        self, source: BinaryIO, target: BinaryIO, *, role: str | None, schema: str | None, name: str
    ) -> None:
        """Open the sealed `source`, called `name`, into `target` in constant memory.

        `target` gets each chunk after its tag was checked; that none is missing is sure only when this
        function returns.
        """
        with naming(name):
            open_stream(source, target, self._admitting(role, schema, name))

    def open_file(
        self,
        path: PathLike,
        target: PathLike,
        *,
        role: str | None,
        schema: str | None,
        overwrite: bool = True,
    ) -> None:
        """Open the sealed file `path` into the file `target`, for its owner alone, in constant memory.

        `target` is written durably and in one step, after every tag of `path` was checked; stopped before,
        whatever the signal, nothing of the plaintext stays on the disk.

        Raises
        ------
        FileExistsError
            `target` exists and is not to be replaced (`overwrite`).
        """
        with (
            _existing(path) as file,
            replaced_unseen(target, overwrite=overwrite) as opened,
            naming(str(path)),
        ):
            open_file(file, opened, self._admitting(role, schema, str(path)))

    def reader(self, path: PathLike, *, role: str | None, schema: str | None) -> SealedReader:
        """A read-only, seekable file object over the plaintext of the sealed file `path`."""
        return self.reader_of(_existing(path), role=role, schema=schema, name=str(path))

    def reader_of(self, file: BinaryIO, *, role: str | None, schema: str | None, name: str) -> SealedReader:
        """`reader` over the open, seekable `file`, called `name`; it is closed with the reader."""
        try:
            return SealedReader(file, self._admitting(role, schema, name), name)
        except BaseException:
            file.close()
            raise

    def verify(self, path: PathLike, *, role: str | None, schema: str | None) -> None:
        """Check every tag of the sealed file `path`, in constant memory."""
        with _existing(path) as file:
            self.open_stream(file, _Nowhere(), role=role, schema=schema, name=str(path))

    def digest(self, plaintext: Buffer) -> str:
        """Keyed digest of a content, 64 hexadecimal digits: the same under every key and salt."""
        return self._keyring.digest(plaintext)

    def _header(self, role: str, schema: str, random_salt: bool) -> Header:
        return Header(self._key.id, self.project, role, schema, random_salt)

    def _open(self, sealed: Buffer, role: str | None, schema: str | None, name: str) -> bytes:
        with naming(name):
            header, context = parse_header(sealed)
            key = self._admitting(role, schema, name)(header)
            return decrypt(key.encryption, context, memoryview(sealed)[len(context) :])

    def _admitting(self, role: str | None, schema: str | None, name: str) -> Callable[[Header], Key]:
        """What gives the key of a file that claims to be the expected one, and refuses every other by name.

        The body's commitment proves the claim; refusing before spares the work and says what is wrong.
        """

        def admit(header: Header) -> Key:
            if header.project != self.project:
                raise WrongContext(
                    f"{name} belongs to the project {header.project!r}, and this is {self.project!r}. Use a "
                    "file of this project, or correct `project` in params.yaml."
                )
            expected = (header.role if role is None else role, header.schema if schema is None else schema)
            if (header.role, header.schema) != expected:
                raise WrongContext(
                    f"{name} is a sealed {header.role!r} ({header.schema}), {expected[0]!r} ({expected[1]}) "
                    "was expected. Put the right file there, or make it anew with `dvc repro`."
                )
            return self._keyring.key(header.key_id, name)

        return admit


def open_vault(project: str, key_id_file: PathLike | None) -> Vault:
    """The vault of `project`, sealing with the key that `key_id_file` names; None: with the active one.

    Raises
    ------
    KeyringError
        The keyring or `key_id_file` is missing or cannot be used.
    KeyMissing
        The named key is not in the keyring.
    """
    keyring = open_keyring(project)
    key_id = keyring.active if key_id_file is None else read_key_id(Path(key_id_file))
    return Vault(project, keyring, keyring.key(key_id, str(key_id_file)))


class _Nowhere(io.BytesIO):
    """Takes what is written and keeps nothing."""

    def write(self, content: Buffer) -> int:  # type: ignore[override]
        return len(content)


def _existing(path: PathLike) -> BinaryIO:
    try:
        return Path(path).open("rb")
    except FileNotFoundError:
        raise LockstepError(f"{path} does not exist. Make it with `dvc repro`.") from None
