"""What every stage's main shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lockstep.errors import DataError, UsageError
from lockstep.files import write_atomic
from tasks._stage import arguments, command, explain, read_report, to_json


def test_reports_have_one_spelling_and_no_nan() -> None:
    assert to_json({"b": 1, "a": 2}) == to_json({"a": 2, "b": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"a": float("nan")})


def test_a_missing_argument_is_named() -> None:
    with pytest.raises(UsageError, match="--report"):
        arguments("split", ["--source", "x"], "source", "report")


def test_a_report_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for content in (b"", b"[1]", b"{"):
        (tmp_path / "r.json").write_bytes(content)
        with pytest.raises(Exception, match=r"r\.json"):
            read_report(tmp_path / "r.json")


def test_a_foreign_exception_is_told_by_type_and_place_only() -> None:
    def fail() -> None:
        raise ValueError("Jane Doe")

    with pytest.raises(ValueError, match="Jane") as caught:
        fail()
    told = explain(caught.value)
    assert "ValueError at test_stage.py" in told
    assert "Jane" not in told


def test_a_known_error_ends_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise DataError("Column 'x' is missing.")

    with pytest.raises(SystemExit) as ended:
        command(main)
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: Column 'x' is missing.\n"


def test_an_unknown_error_ends_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        raise KeyError("Jane Doe")

    with pytest.raises(SystemExit) as ended:
        command(main)
    assert ended.value.code == 1
    printed = capsys.readouterr().err
    assert "Unexpected KeyError" in printed
    assert "Jane" not in printed
    assert "Traceback" not in printed


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "file"
    write_atomic(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]
