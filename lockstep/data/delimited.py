"""Delimited text (CSV, TSV, semicolons) as a table: what differs between the programs that write it is found out."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from lockstep.errors import DataError, ParameterError

_DELIMITERS = (",", ";", "\t", "|")
_MISSING = ["", "?"]
_MISSING_NUMBERS = [*_MISSING, "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "None", "-", "."]
"""Words for a missing value in a column of numbers; among categories they may be categories."""

_NUMBER = r"^\s*[-+]?[0-9]*[.,]?[0-9]+([eE][-+]?[0-9]+)?\s*$"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE_BYTES = 1 << 16
_SAMPLE_ROWS = 50
_LARGEST_BLOCK = (1 << 31) - 1


def parse_delimited(content: bytes, name: str, encoding: str, text: Sequence[str] = ()) -> pa.Table:
    """Parse a delimited table with a header.

    Parameters
    ----------
    content
        The whole file. A byte order mark tells its encoding.
    name
        Its name, for messages.
    encoding
        Of a file without a byte order mark.
    text
        Columns that hold text even where it looks like numbers ("007").

    Returns
    -------
    pyarrow.Table
        The delimiter is the one of comma, semicolon, tab and bar that gives the most columns. A column holds numbers
        with decimal points, or with decimal commas where no comma delimits. Empty fields and ``?`` are missing, in a
        column of numbers also words such as ``NA``.

    Raises
    ------
    DataError
        It is empty, ragged, of another encoding, or a column has no name.
    ParameterError
        Python knows no such encoding.
    """
    content = _as_utf8(content, name, encoding)
    if not content.strip():
        raise DataError(f"{name} is empty. Bring a table with a header and rows.")
    delimiter = _delimiter(content)
    table = _read(content, name, delimiter, column_types=dict.fromkeys(text, pa.string()))
    unnamed = [i + 1 for i, column in enumerate(table.column_names) if not column.strip()]
    if unnamed:
        raise DataError(
            f"The header of {name} has no name for column {unnamed[0]}. Name it, or leave it out."
        )
    if len(set(table.column_names)) < table.num_columns:
        return table  # its reader refuses that
    columns = dict(zip(table.column_names, table.columns, strict=True))
    for point in ".", *([] if delimiter == "," else ","):
        candidates = [column for column in columns if column not in text and _looks_numeric(columns[column])]
        if not candidates:
            break
        again = _read(
            content,
            name,
            delimiter,
            include_columns=candidates,
            null_values=_MISSING_NUMBERS,
            decimal_point=point,
        )
        for column, read in zip(candidates, again.columns, strict=True):
            if pa.types.is_integer(read.type) or pa.types.is_floating(read.type):
                columns[column] = read
    return pa.table(columns)


def _as_utf8(content: bytes, name: str, encoding: str) -> bytes:
    for mark, marked in _MARKS:
        if content.startswith(mark):
            content, encoding = content[len(mark) :], marked
            break
    try:
        codec = codecs.lookup(encoding).name
        if codec == "utf-8":
            # Arrow checks each text itself; only the reason of its refusal is looked for later.
            if b"\0" in content[:_SAMPLE_BYTES]:
                raise _other_encoding(name, encoding)
            return content
        return content.decode(codec).encode()
    except LookupError:
        raise ParameterError(
            f"data.encoding {encoding!r} is no encoding that Python knows. Write utf-8, latin-1, utf-16 or another."
        ) from None
    except UnicodeError:
        raise _other_encoding(name, encoding) from None


def _other_encoding(name: str, encoding: str) -> DataError:
    return DataError(
        f"{name} is not encoded in {encoding}. Say what it is, such as latin-1 or utf-16: `lockstep init "
        "--encoding NAME`, or data.encoding in params.yaml."
    )


def _delimiter(content: bytes) -> str:
    end = content.find(b"\n", _SAMPLE_BYTES)
    lines = content[: end if end >= 0 else len(content)].decode("utf-8", "replace").splitlines(keepends=True)
    best, most = _DELIMITERS[0], (False, 1)
    for delimiter in _DELIMITERS:
        rows: list[list[str]] = []
        try:
            for row in csv.reader(lines, delimiter=delimiter):
                if row:
                    rows.append(row)
                if len(rows) > _SAMPLE_ROWS:
                    break
        except csv.Error:
            continue
        if not rows:
            continue
        width = len(rows[0])
        found = (width > 1 and all(len(row) == width for row in rows), width)
        if width > 1 and found > most:
            best, most = delimiter, found
    return best


def _looks_numeric(column: pa.ChunkedArray) -> bool:
    if not pa.types.is_string(column.type):
        return False
    sample = pc.drop_null(column.slice(0, 10_000))
    sample = sample.filter(pc.invert(pc.is_in(sample, pa.array(_MISSING_NUMBERS))))
    return len(sample) > 0 and bool(pc.all(pc.match_substring_regex(sample, _NUMBER)).as_py())


def _read(content: bytes, name: str, delimiter: str, **convert: Any) -> pa.Table:
    import pyarrow.csv as arrow

    options = {"strings_can_be_null": True, "null_values": _MISSING, **convert}
    parse = arrow.ParseOptions(delimiter=delimiter, newlines_in_values=b'"' in content)
    conversion = arrow.ConvertOptions(**options)
    blocks = [arrow.ReadOptions().block_size]
    if len(content) > blocks[0]:
        # Types are inferred from the first block; where a later one holds something else, all is one block.
        blocks.append(min(len(content) + 1, _LARGEST_BLOCK))
    for block in blocks:
        try:
            table = arrow.read_csv(
                io.BytesIO(content),
                read_options=arrow.ReadOptions(block_size=block),
                parse_options=parse,
                convert_options=conversion,
            )
            # Arrow takes any bytes for a name until it is asked for it.
            _ = table.column_names
        except (pa.ArrowException, UnicodeDecodeError) as error:
            reason = str(error)
            continue
        if any(pa.types.is_binary(dtype) for dtype in table.schema.types):
            # So Arrow calls text that is no UTF-8.
            raise _other_encoding(name, "utf-8")
        return table
    raise _refusal(content, name, reason) from None


def _refusal(content: bytes, name: str, reason: str) -> DataError:
    """What is wrong, without the parser's own words: they quote the row."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(content), _SAMPLE_BYTES):
            decoder.decode(content[start : start + _SAMPLE_BYTES])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return _other_encoding(name, "utf-8")
    ragged = re.search(r"Expected (\d+) columns, got (\d+)", reason)
    if ragged:
        row = re.search(r"Row #(\d+)", reason)
        where = f"row {row[1]}" if row else "a row"
        return DataError(
            f"{name} is ragged: {where} has {ragged[2]} fields and the header {ragged[1]}. Correct it at the source."
        )
    return DataError(
        f"{name} is no CSV table: it needs a header, one delimiter, and as many fields in each row."
    )
