"""Seals and opens the blocks of a file: in this process, and where the file is large in several.

Threads do not help: most of a chunk's time goes into making its cipher object, under Python's lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from typing import IO, NoReturn, cast

from lockstep.errors import SealDamaged, SealError
from lockstep.processes import die_with_parent
from lockstep.sealing.cobblestone import CHUNK_SIZE, SEALED_CHUNK_SIZE, Message

BLOCK_CHUNKS = 64
PLAIN_BLOCK = BLOCK_CHUNKS * CHUNK_SIZE
SEALED_BLOCK = BLOCK_CHUNKS * SEALED_CHUNK_SIZE

MANY_BLOCKS = 128
"""From so many on, the start of another process is paid for."""
MOST_PROCESSES = 4

_FIRST_FREE = 3
"""The first file descriptor behind the standard streams."""


@dataclass(frozen=True)
class Job:
    """What to do with the blocks `first` to `end` of a message of `count` blocks, the last of which is short.

    Attributes
    ----------
    opens
        Decrypt instead of encrypt.
    key, context, prefix
        What the message is derived from.
    source_at, target_at
        Offset of block 0 in the file that is read and in the one that is written.
    fingerprints
        Of the plaintext's blocks from `first` on, where the message is encrypted.
    """

    opens: bool
    key: bytes = field(repr=False)
    context: bytes
    prefix: bytes
    source_at: int
    target_at: int
    count: int
    first: int
    end: int
    fingerprints: list[bytes] = field(default_factory=list, repr=False)

    def part(self, number: int, parts: int) -> Job:
        """The `number`-th of `parts` jobs of about equal size."""
        first, end = self.count * number // parts, self.count * (number + 1) // parts
        return replace(self, first=first, end=end, fingerprints=self.fingerprints[first:end])

    def to_json(self) -> bytes:
        """Inverse of `from_json`."""
        document = vars(self) | {name: getattr(self, name).hex() for name in ("key", "context", "prefix")}
        document["fingerprints"] = [fingerprint.hex() for fingerprint in self.fingerprints]
        return json.dumps(document).encode()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Job is not pickled: it holds a key")

    @classmethod
    def from_json(cls, content: bytes) -> Job:
        """Inverse of `to_json`."""
        document = json.loads(content)
        for name in ("key", "context", "prefix"):
            document[name] = bytes.fromhex(document[name])
        document["fingerprints"] = [bytes.fromhex(fingerprint) for fingerprint in document["fingerprints"]]
        return cls(**document)


def run(job: Job, source: int, target: int) -> None:
    """Do all of `job` between two file descriptors.

    Raises
    ------
    SealDamaged
        What is opened was altered.
    SealError
        What is sealed is not what its fingerprints were taken of.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    processes = min(MOST_PROCESSES, cores, job.count // (MANY_BLOCKS // 2))
    if processes <= 1:
        work(job, source, target)
        return
    children: list[subprocess.Popen[bytes]] = []
    # A child's standard streams would take the place of a source or target that is one here.
    files = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE) for each in (source, target)]
    try:
        for number in range(1, processes):
            children.append(_start(*files))
            _send(children[-1], job.part(number, processes))
        work(job.part(0, processes), source, target)
        for child in children:
            _finish(child)
    finally:
        for child in children:
            child.kill()
            child.wait()
            cast("IO[bytes]", child.stdout).close()
        for each in files:
            os.close(each)


def work(job: Job, source: int, target: int) -> None:
    """Do the blocks of `job` one after the other."""
    message = Message.resume(job.key, job.context, job.prefix)
    size, written = (SEALED_BLOCK, PLAIN_BLOCK) if job.opens else (PLAIN_BLOCK, SEALED_BLOCK)
    output = bytearray(SEALED_BLOCK)
    for number in range(job.first, job.end):
        block = read_at(source, size, job.source_at + number * size)
        first, final = number * BLOCK_CHUNKS, number == job.count - 1
        if job.opens:
            filled = message.open_into(output, block, first, final=final)
        elif fingerprint(block) == job.fingerprints[number - job.first]:
            filled = message.seal_into(output, block, first, final=final)
        else:
            raise SealError("it changed while it was being sealed")
        write_at(target, memoryview(output)[:filled], job.target_at + number * written)


def fingerprint(block: bytes) -> bytes:
    """What tells two blocks apart, whoever chose them."""
    return hashlib.sha256(block).digest()


def read_at(file: int, size: int, at: int) -> bytes:
    """`size` bytes from the offset `at`, fewer only at the file's end."""
    pieces = []
    while size and (piece := os.pread(file, size, at)):
        pieces.append(piece)
        size, at = size - len(piece), at + len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def write_at(file: int, view: memoryview, at: int) -> None:
    """Write all of `view` at the offset `at`."""
    while view:
        written = os.pwrite(file, view, at)
        view, at = view[written:], at + written


def _start(source: int, target: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - Lockstep itself
        [sys.executable, "-P", "-m", __name__, str(source), str(target), str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=(source, target),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def _send(child: subprocess.Popen[bytes], job: Job) -> None:
    # The key goes through a pipe: arguments and environment are there for others to read.
    pipe = cast("IO[bytes]", child.stdin)
    with contextlib.suppress(BrokenPipeError), pipe:  # a child that died is noticed at the end
        pipe.write(job.to_json())


def _finish(child: subprocess.Popen[bytes]) -> None:
    output = cast("IO[bytes]", child.stdout).read()
    if child.wait() == 0:
        return
    try:
        kind, *details = json.loads(output)
    except ValueError:
        raise SealError(f"a process that helped ended with code {child.returncode}; run it again") from None
    raise {"SealDamaged": SealDamaged, "SealError": SealError, "OSError": OSError}[kind](*details)


def _main() -> None:
    source, target, parent = map(int, sys.argv[1:])
    die_with_parent(parent)
    try:
        work(Job.from_json(sys.stdin.buffer.read()), source, target)
    except SealError as error:
        print(json.dumps([type(error).__name__, str(error)]))
    except OSError as error:
        print(json.dumps(["OSError", error.errno, error.strerror]))
    else:
        return
    raise SystemExit(1)


if __name__ == "__main__":
    _main()
