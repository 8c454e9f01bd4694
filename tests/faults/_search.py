"""Finds planted values in files, in the encodings in which a value may lie there."""

from __future__ import annotations

import base64
import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def encodings(text: str = "", number: float | None = None, run: tuple[float, ...] = ()) -> dict[str, bytes]:
    """Byte strings that betray a planted text, number, or run of numbers."""
    found: dict[str, bytes] = {}
    words = text or (f"{number:.0f}" if number is not None else "")
    if words:
        found["utf-8"] = words.encode()
        found["utf-16-le"] = words.encode("utf-16-le")
        found["utf-16-be"] = words.encode("utf-16-be")
        found["json"] = json.dumps(words)[1:-1].encode()
        found["hex"] = words.encode().hex().encode()
        for shift in range(3):
            # Whole groups of three bytes: the rest of the base64 text depends on what stands around it.
            data = b"\0" * shift + words.encode()
            found[f"base64+{shift}"] = base64.b64encode(data[3 if shift else 0 : len(data) // 3 * 3])
    if number is not None:
        found["with separators"] = f"{number:,}".encode()
        for order in "<>":
            found[f"float64{order}"] = struct.pack(f"{order}d", number)
            if number == int(number):
                found[f"int64{order}"] = struct.pack(f"{order}q", int(number))
    if run:
        for order in "<>":
            found[f"float32 run{order}"] = struct.pack(f"{order}{len(run)}f", *run)
    return found


def leaks(roots: list[Path], planted: dict[str, dict[str, bytes]], leave_out: set[Path]) -> list[str]:
    """Every place below `roots` where a planted value lies, but for the files in `leave_out`."""
    found = []
    for root in roots:
        for path in sorted(root.rglob("*")):
            if path.is_symlink() or not path.is_file() or path in leave_out:
                continue
            for how, content in _readings(path.read_bytes()):
                for value, codes in planted.items():
                    found += [
                        f"{path}: {value} as {code}{how}" for code, seek in codes.items() if seek in content
                    ]
    return found


def _readings(content: bytes, how: str = "") -> Iterator[tuple[str, bytes]]:
    """The bytes, and what a reader would unpack from them, containers within containers included."""
    yield how, content
    for magic, (name, unpack) in _CONTAINERS.items():
        if content.startswith(magic):
            # What only begins like one stands there as it is.
            with suppress(zlib.error, zipfile.BadZipFile, OSError, EOFError, pa.ArrowException):
                for inner in unpack(content):
                    yield from _readings(inner, f"{how} in {name}")


def _unzip(content: bytes) -> Iterator[bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        yield from (archive.read(name) for name in archive.namelist())


def _tables(content: bytes) -> Iterator[bytes]:
    table = pq.read_table(io.BytesIO(content))
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    yield sink.getvalue()


def _decompress(codec: str, content: bytes) -> Iterator[bytes]:
    with pa.input_stream(pa.py_buffer(content), compression=codec) as stream:
        yield stream.read()


def _inflate(content: bytes) -> Iterator[bytes]:
    yield zlib.decompressobj().decompress(content)


_CONTAINERS: dict[bytes, tuple[str, Callable[[bytes], Iterator[bytes]]]] = {
    b"\x1f\x8b": ("gzip", partial(_decompress, "gzip")),
    b"\x28\xb5\x2f\xfd": ("zstd", partial(_decompress, "zstd")),
    b"\x04\x22\x4d\x18": ("lz4", partial(_decompress, "lz4")),
    b"PK\x03\x04": ("zip", _unzip),
    b"PAR1": ("Parquet", _tables),
    # Objects of git.
    b"\x78": ("zlib", _inflate),
}
