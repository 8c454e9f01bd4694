"""Finds planted values in files, in the encodings in which a value may lie there."""

from __future__ import annotations

import base64
import gzip
import io
import json
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
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
        found["float32 run"] = struct.pack(f"<{len(run)}f", *run)
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


def _readings(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The bytes, and what a reader would unpack from them."""
    yield "", content
    if content[:2] == b"\x1f\x8b":
        yield " in gzip", gzip.decompress(content)
    if content[:1] == b"\x78":
        # Objects of git.
        with suppress(zlib.error):
            yield " in zlib", zlib.decompress(content)
    if content[:4] == b"PAR1":
        table = pq.read_table(io.BytesIO(content))
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        yield " in Parquet", sink.getvalue()
