"""Publishes a bundle again and again, killed just before the 1st, 2nd, ... change of the file system.

Usage: python -m tests.lockstep.bundle._killed FIRST SCRATCH ENCODER MODEL. The N-th try works on SCRATCH/N, a
copy of the registry FIRST; the last one is not killed.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

from lockstep.bundle.registry import Registry
from tests.lockstep.bundle import candidate

CHANGES = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "fcntl.flock"}


def publish_and_die(root: Path, before: int) -> None:
    second, opened, count = candidate.bundle(threshold=0.25), candidate.vault(), 0

    def watch(event: str, details: tuple[object, ...]) -> None:
        nonlocal count
        if event in CHANGES and (event == "fcntl.flock" or str(details[0]).startswith(str(root))):
            count += 1
            if count == before:
                os.kill(os.getpid(), signal.SIGKILL)

    registry = Registry(root, "income")
    after = registry.pointer()
    sys.addaudithook(watch)
    registry.publish(second, opened, candidate.accept, after)


def main() -> None:
    first, scratch, *parts = map(Path, sys.argv[1:])
    encoder, model = (part.read_bytes() for part in parts)
    candidate.encoder_and_model = lambda: (encoder, model)  # type: ignore[assignment]
    for before in range(1, 100):
        root = scratch / str(before)
        shutil.copytree(first, root)
        child = os.fork()
        if child == 0:
            publish_and_die(root, before)
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            break


if __name__ == "__main__":
    main()
