"""Stage `encrypt`: seals the source table that `validate` saw; from here on nothing of it is stored in clear."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from lockstep.data.batches import Batches, ParquetSink, open_batches
from lockstep.data.tables import SCHEMA
from lockstep.errors import DataError
from lockstep.sealing.vault import open_vault
from tasks._params import Params, key, load_params
from tasks._stage import arguments, command, measured, read_report


class EncryptParams(Params):
    project: str = key("project")
    encoding: str = key("data.encoding")


def run(source: Batches, sha256: str, name: str, validation: Mapping[str, Any]) -> Iterator[pa.RecordBatch]:
    """Give the source's rows if it is what was validated.

    Parameters
    ----------
    source
        The source table, read anew.
    sha256
        Of its content.
    name
        Its name.
    validation
        Report of `validate`.

    Raises
    ------
    DataError
        The content is another one than `validate` saw.
    """
    if sha256 != validation.get("source_sha256"):
        raise DataError(f"{name} is not what `validate` saw: it changed meanwhile. Run `validate` again.")
    return source.batches()


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments("encrypt", argv, "source", "validation", "key-id", "table")
    params = load_params(EncryptParams, args.params)
    # Not by its table: that may be large, and has the same content as what was validated.
    with measured("encrypt", args.validation):
        vault = open_vault(params.project, args.key_id)
        validation = read_report(args.validation)
        with (
            vault.writer(args.table, role="source", schema=SCHEMA) as file,
            # It is left first: a source that changed meanwhile is never sealed.
            open_batches(args.source, vault.digest, params.encoding) as (source, sha256),
        ):
            batches = run(source, sha256, str(args.source), validation)
            sink = ParquetSink(file, source.schema)
            for batch in batches:
                sink.write(batch)
            sink.close()


if __name__ == "__main__":
    command(main)
