"""Sealing and opening in constant memory.

A synthetic salt has to be known before the first chunk is encrypted, so the plaintext is gone through twice.
What is encrypted has to be what was hashed: two plaintexts under one salt would share their nonces, and
AES-GCM then gives both away. So a file is fingerprinted block by block as it is hashed, and compared as it is
encrypted; what can be read only once is kept meanwhile under a key that is thrown away.
"""

from __future__ import annotations

import io
import os
import secrets
import stat
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lockstep.sealing import _workers
from lockstep.sealing._workers import BLOCK_CHUNKS, PLAIN_BLOCK, SEALED_BLOCK, Job
from lockstep.sealing.cobblestone import KEY_SIZE, PREFIX_SIZE, SALT_SIZE, Buffer, Message
from lockstep.sealing.header import Header, read_exactly, read_header
from lockstep.sealing.keys import Key, SyntheticSalt


def seal_stream(source: BinaryIO, target: BinaryIO, key: Key, header: Header, directory: Path) -> None:
    """Seal what `source` holds from its position on into the empty regular file `target`.

    What `source` gives only once is spooled, encrypted, in `directory`.

    Raises
    ------
    SealError
        `source` changed meanwhile; `target` is then of no use.
    """
    context = header.encode()
    start = read_exactly(source, PLAIN_BLOCK)
    salt = key.synthetic_salt(context)
    if header.random_salt:
        message = Message(key.encryption, context, secrets.token_bytes(SALT_SIZE))
        _seal_blocks(message, context, _blocks(source, start, PLAIN_BLOCK), target)
    elif len(start) < PLAIN_BLOCK:
        salt.update(start)
        _seal_blocks(Message(key.encryption, context, salt.finish()), context, iter([start]), target)
    elif _is_file(source):
        begin = source.tell() - len(start)
        fingerprints = _fingerprints(source.fileno(), begin, salt)
        message = Message(key.encryption, context, salt.finish())
        target.write(context + message.prefix)
        target.flush()
        job = Job(
            opens=False,
            key=key.encryption,
            context=context,
            prefix=message.prefix,
            source_at=begin,
            target_at=target.tell(),
            count=len(fingerprints),
            first=0,
            end=len(fingerprints),
            fingerprints=fingerprints,
        )
        _workers.run(job, source.fileno(), target.fileno())
    else:
        with spooled(target, key, header, directory) as spool:
            for block in _blocks(source, start, PLAIN_BLOCK):
                spool.write(block)


def open_stream(source: BinaryIO, target: BinaryIO, admit: Callable[[Header], Key]) -> None:
    """Open what `source` holds into `target`, which gets each chunk after its tag was checked.

    Parameters
    ----------
    source
        A sealed file, at its start.
    target
        Takes the plaintext; incomplete where this function raises.
    admit
        Gives the key for a header, or raises.
    """
    header, context = read_header(source)
    message = Message.resume(admit(header).encryption, context, read_exactly(source, PREFIX_SIZE))
    for block in _open_blocks(message, source):
        target.write(block)


def open_file(source: BinaryIO, target: BinaryIO, admit: Callable[[Header], Key]) -> None:
    """`open_stream` from one regular file to another, empty one: by several processes where it is large."""
    header, context = read_header(source)
    job = Job(
        opens=True,
        key=admit(header).encryption,
        context=context,
        prefix=read_exactly(source, PREFIX_SIZE),
        source_at=source.tell(),
        target_at=0,
        count=max(0, os.fstat(source.fileno()).st_size - source.tell()) // SEALED_BLOCK + 1,
        first=0,
        end=0,
    )
    _workers.run(job.part(0, 1), source.fileno(), target.fileno())


def _seal_blocks(message: Message, context: bytes, blocks: Iterator[Buffer], target: BinaryIO) -> None:
    target.write(context + message.prefix)
    output = bytearray(SEALED_BLOCK)
    for number, block in enumerate(blocks):
        filled = message.seal_into(output, block, number * BLOCK_CHUNKS, final=len(block) < PLAIN_BLOCK)
        target.write(memoryview(output)[:filled])


def _open_blocks(message: Message, source: BinaryIO) -> Iterator[Buffer]:
    """Plaintext of the blocks of `source`, each good until the next one is asked for."""
    output = bytearray(PLAIN_BLOCK)
    for number, block in enumerate(_blocks(source, read_exactly(source, SEALED_BLOCK), SEALED_BLOCK)):
        filled = message.open_into(output, block, number * BLOCK_CHUNKS, final=len(block) < SEALED_BLOCK)
        yield memoryview(output)[:filled]


def _fingerprints(file: int, at: int, salt: SyntheticSalt) -> list[bytes]:
    """Hash a file from `at` on for its salt, and fingerprint its blocks, the last of which is short."""
    fingerprints: list[bytes] = []
    with ThreadPoolExecutor(1) as pool:
        while True:
            block = _workers.read_at(file, PLAIN_BLOCK, at + len(fingerprints) * PLAIN_BLOCK)
            fingerprint = pool.submit(_workers.fingerprint, block)
            salt.update(block)
            fingerprints.append(fingerprint.result())
            if len(block) < PLAIN_BLOCK:
                return fingerprints


class Spool(io.RawIOBase):
    """Takes a plaintext to be sealed, hashes it for its salt, and keeps it in `file` under a passing key."""

    def __init__(self, file: BinaryIO, salt: SyntheticSalt) -> None:
        super().__init__()
        self._file = file
        self._salt = salt
        self._message = Message(secrets.token_bytes(KEY_SIZE), b"spool", secrets.token_bytes(SALT_SIZE))
        self._pending = bytearray()
        self._blocks = 0
        self._output = bytearray(SEALED_BLOCK)

    def writable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """Bytes that were written."""
        return self._blocks * PLAIN_BLOCK + len(self._pending)

    def write(self, content: Buffer) -> int:  # type: ignore[override]
        """Take the next bytes, all of them."""
        view = memoryview(content).cast("B")
        self._salt.update(view)
        self._pending += view
        whole = len(self._pending) // PLAIN_BLOCK * PLAIN_BLOCK
        for at in range(0, whole, PLAIN_BLOCK):
            self._keep(bytes(self._pending[at : at + PLAIN_BLOCK]), final=False)
        del self._pending[:whole]
        return len(view)

    def blocks(self) -> Iterator[Buffer]:
        """All that was written, in blocks of which the last is short; nothing can be written any more."""
        self._keep(bytes(self._pending), final=True)
        self._file.seek(0)
        return _open_blocks(self._message, self._file)

    def _keep(self, block: bytes, *, final: bool) -> None:
        filled = self._message.seal_into(self._output, block, self._blocks * BLOCK_CHUNKS, final=final)
        self._file.write(memoryview(self._output)[:filled])
        self._blocks += not final


@contextmanager
def spooled(target: BinaryIO, key: Key, header: Header, directory: Path) -> Iterator[Spool]:
    """A file to write whose content is sealed into the empty file `target` in the end.

    Meanwhile it lies in a nameless file in `directory`, encrypted.
    """
    context = header.encode()
    salt = key.synthetic_salt(context)
    with tempfile.TemporaryFile(dir=directory) as file:
        spool = Spool(file, salt)
        yield spool
        blocks = spool.blocks()
        _seal_blocks(Message(key.encryption, context, salt.finish()), context, blocks, target)


def _blocks(source: BinaryIO, block: bytes, size: int) -> Iterator[Buffer]:
    """`block` and the following ones of `source`, up to the first that is shorter than `size`."""
    yield block
    while len(block) == size:
        block = read_exactly(source, size)
        yield block


def _is_file(source: object) -> bool:
    # Others have a file descriptor too, but not its content: a GzipFile gives what it unpacks.
    raw = source.raw if isinstance(source, io.BufferedReader | io.BufferedRandom) else source
    return isinstance(raw, io.FileIO) and stat.S_ISREG(os.fstat(raw.fileno()).st_mode)
