"""Stage `encrypt`: seals the source table that `validate` saw; from here on nothing of it is stored in clear."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from lockstep.data.sources import read_content
from lockstep.data.tables import SCHEMA, parse_source, to_parquet
from lockstep.errors import DataError
from lockstep.sealing.vault import open_vault
from tasks._params import Params, key, load_params
from tasks._stage import arguments, command, measured, read_report


class EncryptParams(Params):
    project: str = key("project")
    encoding: str = key("data.encoding")


def run(content: bytes, name: str, validation: Mapping[str, Any], encoding: str = "utf-8") -> pa.Table:
    """Parse the source if it is what was validated.

    Parameters
    ----------
    content
        The source file, read anew.
    name
        Its name.
    validation
        Report of `validate`.
    encoding
        Of delimited text without a byte order mark.

    Raises
    ------
    DataError
        The content is another one than `validate` saw.
    """
    if hashlib.sha256(content).hexdigest() != validation.get("source_sha256"):
        raise DataError(f"{name} is not what `validate` saw: it changed meanwhile. Run `validate` again.")
    return parse_source(content, name, encoding=encoding)


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments("encrypt", argv, "source", "validation", "key-id", "table")
    params = load_params(EncryptParams, args.params)
    with measured("encrypt"):
        vault = open_vault(params.project, args.key_id)
        content, name = read_content(args.source, vault.digest)
        table = run(content, name, read_report(args.validation), params.encoding)
        vault.write(args.table, to_parquet(table), role="source", schema=SCHEMA)


if __name__ == "__main__":
    command(main)
