"""`lockstep init`: makes a clone the project of one's own table."""

from __future__ import annotations

import re
import secrets
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from flows._refresh import DECLARATION
from flows._yaml import dump, load
from flows.commands._project import DEMO_STAGE
from lockstep.errors import UsageError

_READERS = ("validate", "encrypt")
_BOUNDS = {
    **dict.fromkeys(("roc_auc", "average_precision", "explanation_agreement"), "at least"),
    "robustness": "at that strength a loss of at most",
}
_GATES_COMMENT = "absolute; set them before you look at a result"


def init(
    source: Annotated[
        str,
        typer.Argument(
            help="Source table: a .csv or .parquet, also compressed; a URL (http, s3, gs); with --query that of a "
            "database. It is read, never copied."
        ),
    ],
    target: Annotated[str, typer.Option(help="Column of labels: two classes or more.")],
    sensitive: Annotated[str, typer.Option(help="Sensitive features, comma-separated.")] = "",
    positive: Annotated[
        str | None, typer.Option(help="Label of the positive class of two; else the rarer one.")
    ] = None,
    time: Annotated[
        str | None,
        typer.Option(help="Column of a date, time stamp or number: the latest rows are the test rows."),
    ] = None,
    id_column: Annotated[
        str | None,
        typer.Option("--id", help="Column of ids: the rows of one are kept on one side of a split."),
    ] = None,
    query: Annotated[
        str | None, typer.Option(help="SQL whose rows are the table; order them by a key.")
    ] = None,
    encoding: Annotated[
        str, typer.Option(help="Encoding of a CSV without a byte order mark, such as latin-1.")
    ] = "utf-8",
    force: Annotated[bool, typer.Option("--force", help="Write the files of a project anew.")] = False,
) -> None:
    """Make this clone the project of your own table: params.yaml, expectation suite, dvc.yaml, key."""
    from flows.commands._profile_table import show
    from lockstep.data.findings import few_groups
    from lockstep.data.profile import profile, to_json
    from lockstep.data.project import find_roles
    from lockstep.data.sources import open_source
    from lockstep.files import write_atomic
    from lockstep.sealing.keyring import open_keyring, set_up_keys

    for name in ("dvc.yaml", "params.yaml"):
        if not Path(name).is_file():
            raise UsageError(f"{name} is not here. Run `lockstep init` in the root of a clone of Lockstep.")
    table, content, declaration = open_source(source, query, encoding)
    groups = [name.strip() for name in sensitive.split(",") if name.strip()]
    params = load(Path("params.yaml"))
    least = int(params["data"]["min_category_rows"])
    roles = find_roles(table, target, positive, groups, least, time=time, id_column=id_column)
    fresh = DEMO_STAGE in params
    if not fresh and not force:
        raise UsageError(
            f"This is the project {params['project']!r} already; a second `lockstep init` writes its suite, gates and "
            "approvals anew. Commit them and say --force."
        )
    name = _slug(Path(declaration.name if declaration and query is None else source).name.split(".")[0])
    project = f"{name}-{secrets.token_hex(4)}" if fresh else str(params["project"])
    suite = to_json(profile(table, target, least), project)
    # Everything is computed before the first file is written: an error leaves the clone as it was.
    outputs = {
        "params.yaml": _params(params, roles, project, name, encoding),
        "dvc.yaml": _graph(load(Path("dvc.yaml")), str(DECLARATION) if declaration else source),
        "data/expectations.json": suite,
        "approvals.json": b"[]\n",
    }
    key_id = Path("lockstep.key-id")
    if fresh:
        # It names the demo's key; the new project has one of its own.
        key_id.unlink(missing_ok=True)
    keys = set_up_keys(project, key_id)
    DECLARATION.unlink(missing_ok=True)
    if declaration:
        fingerprint = open_keyring(project).digest(content)
        outputs[str(DECLARATION)] = replace(declaration, fingerprint=fingerprint).to_json()
    for path, text in outputs.items():
        write_atomic(path, text)
    thin = few_groups(table, groups, params["split"]["test_share"], params["evaluate"]["min_group_rows"])
    show(replace(roles, notes=(*roles.notes, *thin)), project, keys, list(outputs))


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "table"


def _params(params: Any, roles: Any, project: str, name: str, encoding: str) -> bytes:
    from ruamel.yaml.comments import CommentedMap, CommentedSeq
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    from lockstep.data.project import MAY_BE_WORSE, default_gates
    from lockstep.evaluation.membership import judgeable_rate

    def row(values: Any) -> Any:
        sequence = CommentedSeq(values)
        sequence.fa.set_flow_style()
        return sequence

    params.pop(DEMO_STAGE, None)
    params["project"] = project
    data = CommentedMap(
        target=roles.target,
        positive=None if roles.positive is None else DoubleQuotedScalarString(roles.positive),
        sensitive=row(roles.sensitive),
        not_features=row(roles.not_features),
        split_column=None,
        time_column=roles.time,
        id_column=roles.id,
        encoding=encoding,
        min_category_rows=params["data"]["min_category_rows"],
    )
    data.yaml_add_eol_comment(
        "the rarer class of two unless you said otherwise; null: more than two", "positive"
    )
    data.yaml_add_eol_comment("keys, constants, dates, and what the model may not learn from", "not_features")
    data.yaml_add_eol_comment("a column of 'train' and 'test'; null: Lockstep splits", "split_column")
    data.yaml_add_eol_comment("the latest rows are the test rows; null: drawn at random", "time_column")
    data.yaml_add_eol_comment("rows of one id are kept on one side; null: each row is by itself", "id_column")
    data.yaml_add_eol_comment("of a CSV without a byte order mark", "encoding")
    data.yaml_add_eol_comment("a category shared by fewer rows is a person's value", "min_category_rows")
    params["data"] = data
    # The blank line between them belonged to the section before.
    params.yaml_set_comment_before_after_key("validate", before="\n")
    evaluate = params["evaluate"]
    rate = judgeable_rate(params["split"]["test_share"] * roles.n_rows)
    evaluate["attack_false_positive_rate"] = rate
    # The comments on the gates give reasons that hold for the table before.
    evaluate.pop("gates")
    evaluate.ca.items.pop("gates", None)
    gates = CommentedMap(default_gates(roles.classes, roles.positive, roles.sensitive, rate))
    for gate in gates:
        gates.yaml_add_eol_comment(_BOUNDS.get(gate, "at most"), gate)
    evaluate["gates"] = gates
    evaluate.yaml_set_comment_before_after_key("gates", before=_GATES_COMMENT, indent=2)
    champion = CommentedMap(MAY_BE_WORSE)
    champion.fa.set_flow_style()
    params["deploy"] = CommentedMap(name=name, champion=champion)
    params["deploy"].yaml_add_eol_comment(
        "at most so much worse than the champion on the same test rows", "champion"
    )
    for said in params["card"]:
        params["card"][said] = None
    return dump(params)


def _graph(graph: Any, source: str) -> bytes:
    stages = graph["stages"]
    stages.pop(DEMO_STAGE, None)
    for name in _READERS:
        stage = stages[name]
        words = shlex.split(str(stage["cmd"]))
        old = words[words.index("--source") + 1]
        stage["cmd"] = shlex.join(source if word == old else word for word in words)
        stage["deps"] = [source if str(dep) == old else dep for dep in stage["deps"]]
    return dump(graph)
