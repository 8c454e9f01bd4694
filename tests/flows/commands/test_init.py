"""`lockstep init`: a clone becomes the project of one's own table, or stays as it was."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from flows._refresh import refresh
from flows.commands.init import init
from lockstep.data.tables import from_parquet
from lockstep.errors import DataError, LockstepError
from lockstep.sealing.vault import open_vault
from tasks import encrypt, validate
from tests.conftest import ROOT, arguments, stages

RNG = np.random.default_rng(5)
N_ROWS = 200
ROWS = [
    f"{i % 37},{'fm'[i % 2]},{RNG.choice(list('abc'))},{'yes' if i % 4 == 0 else 'no'}" for i in range(N_ROWS)
]
TABLE = "\n".join(["age,sex,word,y", *ROWS]) + "\n"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `lockstep init` needs of a clone; the working directory."""
    monkeypatch.setenv("LOCKSTEP_KEYRING", str(tmp_path / "keys" / "keyring.json"))
    root = tmp_path / "clone"
    (root / "data").mkdir(parents=True)
    for name in ("dvc.yaml", "params.yaml", "data/expectations.json"):
        shutil.copy(ROOT / name, root / name)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def start(clone: Path) -> Callable[..., dict[str, Any]]:
    """Return a function that initialises the clone from the content of a file, and returns params.yaml."""

    def run(
        content: str | bytes = TABLE, name: str = "table.csv", target: str = "y", **options: Any
    ) -> dict[str, Any]:
        path = clone.parent / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        init(f"../{name}", target, **options)
        document: dict[str, Any] = yaml.safe_load((clone / "params.yaml").read_text())
        return document

    return run


def files(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def y_of(labels: list[str]) -> str:
    return "\n".join(["x,y", *(f"{i % 7},{label}" for i, label in enumerate(labels))]) + "\n"


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        ("", {}, "is empty"),
        ("x,y\n", {}, "no rows"),
        ("x,y\n1,a\n1,b,secret\n", {}, "ragged"),
        ("x,x,y\n1,1,a\n", {}, "more than one column named"),
        ("x,y\n\xe9,a\n".encode("latin-1"), {}, "not encoded in utf-8"),
        (TABLE, {"encoding": "latin-99"}, "no encoding"),
        (y_of(["a"] * 50), {}, "has 1 class"),
        (y_of([""] * 50), {}, "is missing in every row"),
        (y_of(["a", "b", ""] * 50), {}, "is missing in 50 rows"),
        (y_of([f"{i / 7:.3f}" for i in range(300)]), {}, "regression"),
        (y_of([str(i % 30) for i in range(300)]), {}, "30 different numbers: that is regression"),
        (y_of([f"name {i}" for i in range(60)]), {}, "60 of the 60 classes .* fewer than 3 rows"),
        (y_of(["1", "2", "2.5"] * 50), {}, "regression"),
        (y_of([f"name {i}" for i in range(300)]), {}, "300 different texts"),
        (TABLE, {"target": "z"}, "--target names"),
        (TABLE, {"sensitive": "race"}, "--sensitive names"),
        (TABLE, {"sensitive": "age"}, "hold numbers"),
        (TABLE, {"time": "word"}, "'word' is of type string; a time is"),
        (TABLE, {"id_column": "sex", "sensitive": "sex"}, "more than one of target, sensitive, time and id"),
        (TABLE, {"positive": "maybe"}, "'maybe' is no label"),
        ("x,y\n" + ",a\n,b\n" * 20, {}, "No feature is left"),
    ],
)
def test_a_bad_table_leaves_the_clone_as_it_was(
    content: str | bytes, options: dict[str, Any], words: str, clone: Path, start: Callable[..., Any]
) -> None:
    before = files(clone)
    with pytest.raises(LockstepError, match=words) as caught:
        start(content, **options)
    assert caught.value.exit_code in (1, 2)
    assert "secret" not in str(caught.value)
    assert files(clone) == before
    assert not (clone.parent / "keys").exists()


def test_a_target_of_several_classes(start: Callable[..., Any]) -> None:
    params = start(y_of(["low", "middle", "middle", "high"] * 50))
    assert params["data"]["positive"] is None
    assert params["evaluate"]["gates"]["brier"] == 0.3125
    # 40 test rows tell no lower rate; the threshold is three times chance.
    assert params["evaluate"]["attack_false_positive_rate"] == 0.1
    assert params["evaluate"]["gates"]["membership_inference"] == 0.3


def test_a_file_in_another_encoding(clone: Path, start: Callable[..., Any]) -> None:
    params = start(TABLE.replace("sex", "säx").encode("latin-1"), encoding="latin-1", sensitive="säx")
    assert (params["data"]["encoding"], params["data"]["sensitive"]) == ("latin-1", ["säx"])
    run_stages(clone)


def run_stages(clone: Path) -> Any:
    """Validate and encrypt as dvc.yaml says; gives the sealed table."""
    for name, main in (("validate", validate.main), ("encrypt", encrypt.main)):
        main(arguments(stages(clone)[name]))
    project = yaml.safe_load((clone / "params.yaml").read_text())["project"]
    vault = open_vault(project, clone / "lockstep.key-id")
    return from_parquet(vault.read(clone / "data/source.parquet.sealed", role="source", schema="table/1"))


def test_a_database_becomes_a_project_that_follows_it(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = clone.parent / "loans.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE loans (id INTEGER, age INTEGER, word TEXT, y TEXT)")
        rows = [(i, *line.split(",")) for i, line in enumerate(ROWS)]
        connection.executemany(
            "INSERT INTO loans VALUES (?, ?, ?, ?)", [(i, a, w, y) for i, a, _, w, y in rows]
        )
    connection.close()
    monkeypatch.setenv("LOANS", "loans.db")
    init("sqlite:///../${LOANS}", "y", query="SELECT age, word, y FROM loans ORDER BY id")
    declared = json.loads((clone / "data/source.json").read_text())
    assert declared["location"] == "sqlite:///../${LOANS}"
    assert len(declared["fingerprint"]) == 64
    for name in ("validate", "encrypt"):
        assert stages(clone)[name]["deps"][0] == "data/source.json"
    assert run_stages(clone).num_rows == N_ROWS
    assert refresh(clone) is False
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO loans VALUES (1000, 30, 'a', 'no')")
    connection.close()
    for name, main in (("validate", validate.main), ("encrypt", encrypt.main)):
        with pytest.raises(DataError, match="lockstep refresh"):
            main(arguments(stages(clone)[name]))
    assert refresh(clone) is True
    assert json.loads((clone / "data/source.json").read_text())["fingerprint"] != declared["fingerprint"]
    assert run_stages(clone).num_rows == N_ROWS + 1


def test_a_file_after_a_url_needs_no_declaration(clone: Path, start: Callable[..., Any]) -> None:
    (clone.parent / "table.csv").write_text(TABLE)
    init(f"file://{clone.parent}/table.csv", "y")
    assert (clone / "data/source.json").exists()
    start(force=True)
    assert not (clone / "data/source.json").exists()
    assert refresh(clone) is None
    assert stages(clone)["validate"]["deps"][0] == "../table.csv"


def test_what_is_found_is_printed_with_advice_and_nothing_rare(
    clone: Path,
    start: Callable[..., Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    rows = [f"{i},{line},{'CANARY' if i < 3 else 'town'},{'ba'[line.endswith('yes')] * 3},2024-0{i % 9 + 1}-01"
            for i, line in enumerate(ROWS)]  # fmt: skip
    params = start(
        "\n".join(["id,age,sex,word,y,place,[state],when", *rows]) + "\n", sensitive="sex", time="when"
    )
    assert params["data"]["not_features"] == ["id", "[state]"]
    assert (params["data"]["time_column"], params["data"]["id_column"]) == ("when", None)
    printed = capsys.readouterr().out
    for words in (
        "like a key",
        "gives the label away",
        "[state]",
        "sensitive",
        "time",
        "no: 150, yes: 50",
        "0 of the 2 groups of sex can be expected to have the 200 test rows",
        "Next: ",
    ):
        assert words in printed
    text = (clone / "params.yaml").read_text()
    for gate in (
        "roc_auc: 0.7  # at least",
        "brier: 0.1875 # at most",
        "robustness: # at that strength a loss of at most",
    ):
        assert f"\n    {gate}\n" in text
    written = b"".join(files(clone).values()).decode()
    assert "CANARY" not in printed + written
    assert "town" in written


@pytest.mark.slow
def test_ten_thousand_columns(start: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"column_{i}" for i in range(10_000)]
    values = RNG.integers(0, 9, (30, len(names)))
    lines = [",".join([*map(str, row), "ab"[i % 2]]) for i, row in enumerate(values)]
    params = start("\n".join([",".join([*names, "y"]), *lines]) + "\n")
    assert params["data"]["positive"] == "a"
    assert "more columns are not shown" in capsys.readouterr().out
