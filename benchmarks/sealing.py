"""How fast sealing is: `python -m benchmarks.sealing [--large MIB]`, and what it costs a run: `... pipeline`.

Every figure is a ratio to the plain loop of pycryptodome on the same bytes in the same run: one
`AES.new(...).encrypt_and_digest` for each 16 KiB chunk, on one thread, its output thrown away. The rounds
of all contestants alternate and the best of each counts, and what runs on one thread is measured in CPU time, so
that a busy machine blurs the ratios little.

`pipeline` needs what `make run` leaves: it times, artifact by artifact, what sealed reading and writing cost each stage
over plain files, and prints the sum as a share of the seconds that the stages took.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypedDict

import yaml
from Crypto.Cipher import AES

from lockstep.files import write_atomic
from lockstep.sealing import _workers
from lockstep.sealing.cobblestone import CHUNK_SIZE, TAG_SIZE
from lockstep.sealing.keyring import Keyring
from lockstep.sealing.vault import Vault, open_vault

MIB = 1 << 20


class Kind(TypedDict):
    """What a sealed file says it holds."""

    role: str
    schema: str


KIND: Kind = {"role": "benchmark", "schema": "bytes/1"}


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

    contestants: dict[str, Callable[[], object]] = {
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


def of_the_pipeline(folder: Path, rounds: int = 5) -> None:
    """What sealing adds to a run of the project in the working directory, as a share of its stages' seconds."""
    vault = open_vault(yaml.safe_load(Path("params.yaml").read_text())["project"], "lockstep.key-id")
    added = sealed_bytes = 0.0
    for stage in yaml.safe_load(Path("dvc.yaml").read_text())["stages"].values():
        read, written = (
            [name for entry in stage.get(kind, ()) if (name := _name(entry)).endswith(".sealed")]
            for kind in ("deps", "outs")
        )
        for path in read:
            content = vault.read(path, role=None, schema=None)
            (folder / "plain").write_bytes(content)
            added += _best(rounds, partial(vault.read, path, role=None, schema=None))
            added -= _best(rounds, (folder / "plain").read_bytes)
            sealed_bytes += len(content)
        for path in written:
            content = vault.read(path, role=None, schema=None)
            added += _best(rounds, partial(vault.write, folder / "sealed", content, **KIND))
            added -= _best(rounds, partial(write_atomic, folder / "plain", content))
            sealed_bytes += len(content)
    seconds = sum(
        json.loads(path.read_bytes())["seconds"] for path in Path(".lockstep/measured").glob("*.json")
    )
    print(
        f"Sealing {sealed_bytes / 1e6:.0f} MB read and written adds {added:.2f} s to stages of {seconds:.1f} s: "
        f"{added / seconds:.2%}"
    )


def _name(entry: str | dict[str, object]) -> str:
    return entry if isinstance(entry, str) else next(iter(entry))


def _best(rounds: int, run: Callable[[], object]) -> float:
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", nargs="?", choices=["speed", "pipeline"], default="speed")
    parser.add_argument("--large", type=int, default=256, metavar="MIB", help="size of the files")
    parser.add_argument("--folder", type=Path, help="where the files lie meanwhile")
    options = parser.parse_args()
    if options.part == "pipeline":
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            of_the_pipeline(Path(folder))
        return
    keyring = Keyring.generate("benchmark")
    vault = Vault("benchmark", keyring, keyring.keys[keyring.active])
    print("Speed, and its ratio to the single-thread loop of pycryptodome in this run")
    for size, rounds in ((MIB, 50), (16 * MIB, 9), (64 * MIB, 5)):
        in_memory(vault, size, rounds)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        on_disk(vault, Path(folder), options.large * MIB, 3)


if __name__ == "__main__":
    main()
