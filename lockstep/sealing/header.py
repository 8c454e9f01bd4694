"""The clear header of a sealed file: which key opens it and what it is (docs/sealed-format.md)."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from typing import BinaryIO

from lockstep.errors import NotSealed, SealDamaged, SealUnsupported, UsageError
from lockstep.sealing.cobblestone import CHUNK_SIZE, Buffer
from lockstep.sealing.keys import is_key_id

MAGIC = b"\x89LSEAL\r\n"
VERSION = 1
COBBLESTONE_256 = 1

_FIXED = struct.Struct(">8s B B B x I 8s B B B")
_PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,254}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+/-]{0,254}")
MAX_SIZE = _FIXED.size + 3 * 255


@dataclass(frozen=True)
class Header:
    """Header of a sealed file, version 1.

    Attributes
    ----------
    key_id
        Id of the key that opens the file, 16 hexadecimal digits.
    project
        Project that the file belongs to.
    role
        What the file is in the pipeline ("train", "model").
    schema
        Format of the plaintext ("table/1").
    random_salt
        The salt is random, so that equal plaintexts do not give equal files.
    """

    key_id: str
    project: str
    role: str
    schema: str
    random_salt: bool = False

    def __post_init__(self) -> None:
        if not is_key_id(self.key_id):
            raise UsageError(f"A key id has 16 hexadecimal digits. Received: {self.key_id!r}.")
        if not is_project(self.project):
            raise UsageError(
                f"A project id has 1 to 255 letters, digits and ._+-. Received: {self.project!r}."
            )
        for name in (self.role, self.schema):
            if not _NAME.fullmatch(name):
                raise UsageError(
                    f"A role or schema has 1 to 255 letters, digits and ._+/-. Received: {name!r}."
                )

    def encode(self) -> bytes:
        """Bytes of the header."""
        names = [name.encode("ascii") for name in (self.project, self.role, self.schema)]
        fixed = _FIXED.pack(
            MAGIC,
            VERSION,
            COBBLESTONE_256,
            self.random_salt,
            CHUNK_SIZE,
            bytes.fromhex(self.key_id),
            *map(len, names),
        )
        return fixed + b"".join(names)


def is_project(text: str) -> bool:
    """Tell whether `text` may be a project id, which names a directory too."""
    return _PROJECT.fullmatch(text) is not None


def parse_header(start: Buffer) -> tuple[Header, bytes]:
    """Read the header from the first bytes of a sealed file (`MAX_SIZE` of them, or all).

    Nothing in it is authenticated before the body's commitment was checked against it.

    Returns
    -------
    Header, bytes
        The header, and its bytes, which are the body's context.

    Raises
    ------
    NotSealed
        The bytes do not start as a sealed file does.
    SealUnsupported
        Another version or algorithm.
    SealDamaged
        The header is incomplete or no writer would make it.
    """
    start = bytes(start[:MAX_SIZE])
    magic = start[: len(MAGIC)]
    if not MAGIC.startswith(magic):
        raise NotSealed("it is not sealed: it does not start with the mark of the format")
    if len(start) > len(MAGIC) and start[len(MAGIC)] != VERSION:
        raise SealUnsupported(f"its format has version {start[len(MAGIC)]}, this Lockstep reads {VERSION}")
    if len(start) < _FIXED.size:
        raise SealDamaged("it was cut short within its header")
    _, _, algorithm, random_salt, chunk_size, key_id, *sizes = _FIXED.unpack_from(start)
    if algorithm != COBBLESTONE_256 or chunk_size != CHUNK_SIZE:
        raise SealUnsupported(
            f"it uses algorithm {algorithm} with chunks of {chunk_size} bytes, and this Lockstep knows "
            f"{COBBLESTONE_256} with {CHUNK_SIZE}"
        )
    end = _FIXED.size + sum(sizes)
    if len(start) < end:
        raise SealDamaged("it was cut short within its header")
    role_at, schema_at = _FIXED.size + sizes[0], end - sizes[2]
    names = start.decode("latin-1")
    project, role, schema = names[_FIXED.size : role_at], names[role_at:schema_at], names[schema_at:end]
    try:
        header = Header(key_id.hex(), project, role, schema, bool(random_salt))
    except UsageError:
        raise SealDamaged("its header names a project, role or schema that no sealed file has") from None
    if header.encode() != start[:end]:
        raise SealDamaged("its header has bytes that no sealed file has")
    return header, start[:end]


def read_header(file: BinaryIO) -> tuple[Header, bytes]:
    """Read the header at the position of `file`, and nothing behind it; as `parse_header`."""
    fixed = read_exactly(file, _FIXED.size)
    return parse_header(fixed + read_exactly(file, sum(fixed[-3:]) if len(fixed) == _FIXED.size else 0))


def read_exactly(file: BinaryIO, size: int) -> bytes:
    """`size` bytes of `file`, fewer only at its end: a pipe gives what it has."""
    pieces = []
    while size and (piece := file.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
