"""`lockstep deploy`, `serve` and `predict`: what is done with a trained candidate."""

from __future__ import annotations

import io
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands._project import stage_arguments
from lockstep.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from lockstep.bundle.contents import Bundle

NameOption = Annotated[
    str | None, typer.Option("--name", help="Deployed model; needed where the registry holds several.")
]
RegistryOption = Annotated[
    Path, typer.Option("--registry", envvar="LOCKSTEP_REGISTRY", help="Directory of the registry.")
]


def deploy() -> None:
    """Promote the candidate of the last run by hand, as the pipeline's last stage does."""
    from tasks.deploy import main

    main(stage_arguments("deploy"))


def serve(
    name: NameOption = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)
    ] = 8080,
    registry: RegistryOption = Path("registry"),
) -> None:
    """Serve the deployed model over HTTP (Open Inference Protocol)."""
    from lockstep.serving.server import serve as serve_champion

    serve_champion(registry, name, host, port)


def predict(
    table: Annotated[Path, typer.Argument(help="Table to score, .csv or .parquet.")],
    out: Annotated[Path, typer.Option(help="File to write: row, probability and label of each row.")],
    plain: Annotated[bool, typer.Option("--plain", help="Write .parquet or .csv in clear.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    name: NameOption = None,
    registry: RegistryOption = Path("registry"),
) -> None:
    """Score a table with the deployed model; the result is sealed unless --plain."""
    from lockstep.bundle.contents import project_vault
    from lockstep.bundle.registry import Registry
    from lockstep.data.tables import SCHEMA, read_source, to_parquet
    from lockstep.files import write_atomic

    if out.exists() and not force:
        raise UsageError(f"{out} exists. Choose another file, or replace it with --force.")
    if plain and out.suffix not in (".parquet", ".csv"):
        raise UsageError(f"--plain writes .parquet or .csv. Received: {out.name!r}.")
    bundle = Registry.find(registry, name).load_champion()
    text = [column.name for column in bundle.manifest.columns if column.kind == "category"]
    predictions = score_table(bundle, read_source(table, text))
    if not plain:
        vault = project_vault(bundle.manifest.project)
        vault.write(out, to_parquet(predictions), role="predictions", schema=SCHEMA, random_salt=True)
    else:
        write_atomic(out, to_parquet(predictions) if out.suffix == ".parquet" else _to_csv(predictions))
    how = "in clear" if plain else f"sealed; `lockstep open {shlex.quote(str(out))}` opens it"
    scored_by = f"{bundle.manifest.name} version {bundle.manifest.version}"
    print(f"{len(predictions):,} rows scored by {scored_by}: {out} ({how})")


def score_table(bundle: Bundle, table: pa.Table) -> pa.Table:
    """Score the rows of `table`.

    Returns
    -------
    pyarrow.Table
        ``row`` (int64, from 0, in the table's order), ``probability`` (float64) and ``label`` (string); of three
        classes or more a ``probability:CLASS`` of each.

    Raises
    ------
    DataError
        A column of the model is missing, or holds something else than in training.
    """
    import numpy as np
    import pyarrow as pa

    from lockstep.data.tables import raw_columns, typed_as

    kinds = {column.name: column.kind for column in bundle.manifest.columns}
    typed = typed_as(table, kinds, "The deployed model")
    raw, scorer = raw_columns(typed, typed.column_names), bundle.scorer()
    probability = scorer.probability(raw)
    decided = bundle.rule().codes(probability, raw, scorer.encoder.encode)
    classes = bundle.manifest.classes
    scores = {
        f"probability:{name}" if classes else "probability": column
        for name, column in zip(classes or ("",), np.atleast_2d(probability.T), strict=True)
    }
    return pa.table(
        {
            "row": np.arange(len(table)),
            **scores,
            "label": pa.array(bundle.manifest.labels(decided), pa.string()),
        }
    )


def _to_csv(table: pa.Table) -> bytes:
    import pyarrow.csv as csv

    buffer = io.BytesIO()
    csv.write_csv(table, buffer)
    return buffer.getvalue()
