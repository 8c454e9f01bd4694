"""How fast sealing is: `python -m benchmarks.sealing [--large MIB]`.

Every figure is a ratio to the plain loop of pycryptodome on the same bytes in the same run: one
`AES.new(...).encrypt_and_digest` for each 16 KiB chunk, on one thread, its output thrown away. The rounds
of all contestants alternate and the best of each counts, and what runs on one thread is measured in CPU time, so
that a busy machine blurs the ratios little.
"""

from __future__ import annotations

import argparse
import io
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from Crypto.Cipher import AES

from lockstep.sealing import _workers
from lockstep.sealing.cobblestone import CHUNK_SIZE, TAG_SIZE
from lockstep.sealing.keyring import Keyring
from lockstep.sealing.vault import Vault

MIB = 1 << 20
KIND = {"role": "benchmark", "schema": "bytes/1"}


def loop(content: bytes, times: int = 1) -> None:
    """The yardstick."""
    key = bytes(32)
    for _ in range(times):
        for number, at in enumerate(range(0, len(content), CHUNK_SIZE)):
            nonce = number.to_bytes(12, "big")
            cipher = AES.new(key, AES.MODE_GCM, nonce=nonce, mac_len=TAG_SIZE)
            cipher.encrypt_and_digest(content[at : at + CHUNK_SIZE])


def compare(
    title: str,
    size: int,
    contestants: dict[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Print each contestant's speed as a multiple of that of the first one."""
    best = dict.fromkeys(contestants, float("inf"))
    for _ in range(rounds):
        for name, run in contestants.items():
            started = clock()
            run()
            best[name] = min(best[name], clock() - started)
    yardstick = next(iter(best.values()))
    print(f"\n{title}")
    for name, seconds in best.items():
        print(f"  {name:36} {size / seconds / 1e6:7.0f} MB/s  {yardstick / seconds:5.2f}")


def in_memory(vault: Vault, size: int, rounds: int) -> None:
    """`seal` and `open` of one buffer, and reading it through the file object."""
    content = os.urandom(size)
    sealed = vault.seal(content, **KIND)
    target = bytearray(MIB)

    def read() -> None:
        with vault.reader_of(io.BytesIO(sealed), name="benchmark", **KIND) as file:
            while file.readinto(target):
                pass

    contestants = {
        "loop": lambda: loop(content),
        "seal, with the hash": lambda: vault.seal(content, **KIND),
        "seal, random salt": lambda: vault.seal(content, random_salt=True, **KIND),
        "open": lambda: vault.open(sealed, **KIND),
        "file object, MiB by MiB": read,
    }
    compare(f"In memory, {size // MIB} MiB (CPU time)", size, contestants, rounds, time.process_time)


def on_disk(vault: Vault, folder: Path, size: int, rounds: int) -> None:
    """Files, by one process and by as many as there are cores (4 at most)."""
    block = os.urandom(MIB)
    with (folder / "source").open("wb") as file:
        for _ in range(size // MIB):
            file.write(block)

    def seal() -> None:
        with (folder / "source").open("rb") as source:
            vault.seal_stream(source, folder / "sealed", **KIND)

    def with_processes(most: int, run: Callable[[], object]) -> Callable[[], None]:
        def limited() -> None:
            _workers.MOST_PROCESSES = most
            run()

        return limited

    most = min(4, len(os.sched_getaffinity(0)))
    contestants: dict[str, Callable[[], object]] = {"loop": lambda: loop(block, size // MIB)}
    for processes in sorted({1, most}):
        name = f"{processes} process{'es' if processes > 1 else ''}"
        contestants[f"seal a file, with the hash, {name}"] = with_processes(processes, seal)
        contestants[f"open into a file, {name}"] = with_processes(
            processes, lambda: vault.open_file(folder / "sealed", folder / "opened", **KIND)
        )
    contestants["verify a file"] = lambda: vault.verify(folder / "sealed", **KIND)
    compare(f"From file to file, synced, {size // MIB} MiB (wall time)", size, contestants, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--large", type=int, default=256, metavar="MIB", help="size of the files")
    parser.add_argument("--folder", type=Path, help="where the files lie meanwhile")
    options = parser.parse_args()
    keyring = Keyring.generate("benchmark")
    vault = Vault("benchmark", keyring, keyring.keys[keyring.active])
    print("Speed, and its ratio to the single-thread loop of pycryptodome in this run")
    for size, rounds in ((MIB, 50), (16 * MIB, 9), (64 * MIB, 5)):
        in_memory(vault, size, rounds)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        on_disk(vault, Path(folder), options.large * MIB, 3)


if __name__ == "__main__":
    main()
