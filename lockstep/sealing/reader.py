"""Random access to a sealed file: pyarrow reads row groups through it without decrypting the rest."""

from __future__ import annotations

import io
import operator
import os
import threading
from collections.abc import Callable
from typing import BinaryIO

from lockstep.sealing._naming import naming
from lockstep.sealing.cobblestone import (
    CHUNK_SIZE,
    PREFIX_SIZE,
    SEALED_CHUNK_SIZE,
    Buffer,
    Message,
    plaintext_size,
)
from lockstep.sealing.header import Header, read_exactly, read_header
from lockstep.sealing.keys import Key

_RUN = 64
"""Chunks that are read from the file at a time, so that a large read needs no second buffer of its size."""


class SealedReader(io.RawIOBase):
    """A read-only, seekable file object over the plaintext of a sealed file.

    No byte is given out before its chunk's tag was checked. The length is authenticated when the reader is
    made, by the last chunk's tag: an end, or a seek from it, is never a truncated file's.

    Several threads may share it: a thread that seeks reads from there, wherever others sought in between. (DuckDB
    reads one handle from many threads, in two calls each.)

    Parameters
    ----------
    file
        The sealed file, seekable; closed with the reader.
    admit
        Gives the key for a header, or raises.
    name
        Of the file, for messages.

    Attributes
    ----------
    header
        Header of the file, authenticated.
    size
        Bytes of plaintext, authenticated.

    Raises
    ------
    NotSealed, SealDamaged, SealUnsupported
        At construction or by any read.
    """

    def __init__(self, file: BinaryIO, admit: Callable[[Header], Key], name: str) -> None:
        super().__init__()
        self._file = file
        self.name = name
        self._lock = threading.RLock()
        self._position = 0
        self._sought = threading.local()
        with naming(name):
            file.seek(0)
            self.header, context = read_header(file)
            key = admit(self.header)
            self._message = Message.resume(key.encryption, context, read_exactly(file, PREFIX_SIZE))
            self._body_at = len(context) + PREFIX_SIZE
            self.size = plaintext_size(file.seek(0, os.SEEK_END) - len(context))
        self._last = self.size // CHUNK_SIZE
        self._cached: tuple[int, Buffer] = (-1, b"")
        self._chunk(self._last)

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Position in the plaintext, in bytes."""
        self._check_open()
        return int(getattr(self._sought, "position", self._position))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to `offset` bytes from the start, the position or the end; gives the new position."""
        self._check_open()
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self.size}
        if whence not in origin:
            raise ValueError(f"whence is 0, 1 or 2, not {whence}")
        position = origin[whence] + operator.index(offset)
        if position < 0:
            raise ValueError(f"the position {position} lies before the start")
        self._position = self._sought.position = position
        return position

    def peek(self, size: int = 0) -> bytes:
        """Some bytes from the position on, which stays; none only at the end. Lines are read by it."""
        self._check_open()
        number, within = divmod(self.tell(), CHUNK_SIZE)
        with self._lock:
            return bytes(self._chunk(number)[within:]) if number <= self._last else b""

    def readall(self) -> bytes:
        """All from the position on."""
        content = bytearray(max(0, self.size - self.tell()))
        self.readinto(content)
        return bytes(content)

    def readinto(self, buffer: Buffer) -> int:  # type: ignore[override]
        """Fill `buffer` with plaintext from the position on; gives the bytes filled, fewer only at the end.

        Raises
        ------
        SealDamaged
            A chunk that was asked for was altered; the buffer then holds whole checked chunks or old content.
        """
        self._check_open()
        with self._lock:
            position = self._sought.__dict__.pop("position", self._position)
            filled = self._read_at(position, memoryview(buffer).cast("B"))
            self._position = position + filled
        return filled

    def _read_at(self, position: int, output: memoryview) -> int:
        filled, wanted = 0, max(0, min(len(output), self.size - position))
        while filled < wanted:
            number, within = divmod(position + filled, CHUNK_SIZE)
            if within or wanted - filled < CHUNK_SIZE:
                part = memoryview(self._chunk(number))[within:]
            else:
                part = memoryview(self._chunks(number, min(_RUN, (wanted - filled) // CHUNK_SIZE)))
            part = part[: wanted - filled]
            output[filled : filled + len(part)] = part
            filled += len(part)
        return filled

    def close(self) -> None:
        """Close the reader and the sealed file, and forget the plaintext."""
        if not self.closed:
            self._cached = (-1, b"")
            self._file.close()
        super().close()

    def _chunk(self, number: int) -> Buffer:
        """Plaintext of one chunk; the one that was used last is kept, for small reads in a row."""
        if self._cached[0] != number:
            self._cached = (number, self._chunks(number, 1))
        return self._cached[1]

    def _chunks(self, first: int, count: int) -> Buffer:
        """Plaintext of consecutive chunks."""
        final = first + count > self._last
        plaintext = bytearray(count * CHUNK_SIZE)
        self._file.seek(self._body_at + first * SEALED_CHUNK_SIZE)
        sealed = read_exactly(self._file, count * SEALED_CHUNK_SIZE)
        with naming(self.name):
            filled = self._message.open_into(plaintext, sealed, first, final=final)
        return memoryview(plaintext)[:filled]

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError(f"{self.name} is closed")
