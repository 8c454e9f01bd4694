"""How much memory scoring takes: `python -m tasks._scoring_memory` is a process that does nothing else.

Rows and model reach it by its standard input alone, so that nothing of them is written anywhere.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa

from lockstep.bundle.scorer import Scorer
from lockstep.data.encoding import Encoder
from lockstep.data.tables import raw_columns
from lockstep.errors import StageFailed
from lockstep.processes import die_with_parent
from tasks._host import Meter

_ROWS = 1000


def scoring_memory(encoder: bytes, model: bytes, table: pa.Table) -> int:
    """Peak resident memory, in bytes, of a new process that loads the model and scores 1,000 rows.

    Parameters
    ----------
    encoder, model
        Contents of what `lockstep.bundle.scorer.Scorer` takes.
    table
        Its rows are given again where there are too few.

    Raises
    ------
    StageFailed
        The process did not end well.
    """
    rows = table.take(np.arange(_ROWS) % len(table))
    sink = pa.BufferOutputStream()
    schema = rows.schema.with_metadata({"encoder": encoder, "model": model})
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_table(rows)
    child = subprocess.run(
        [sys.executable, "-m", "tasks._scoring_memory"],
        input=sink.getvalue(),
        capture_output=True,
        check=False,
    )
    if child.returncode:
        raise StageFailed(
            f"The process that measures the memory of scoring ended with {child.returncode}. Is there memory left?"
        )
    return int(child.stdout.split()[-1])


def main() -> None:
    die_with_parent()
    with pa.ipc.open_stream(sys.stdin.buffer) as reader:
        rows, known = reader.read_all(), reader.schema.metadata
    encoder = Encoder.from_json(known[b"encoder"])
    Scorer(encoder, known[b"model"]).probability(raw_columns(rows, [c.name for c in encoder.inputs]))
    print(Meter().read()["peak_memory_bytes"])


if __name__ == "__main__":
    main()
