"""`lockstep keys`, `seal`, `open` and `inspect`."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from flows.commands import sealing
from lockstep.errors import KeyMissing, LockstepError, UsageError, WrongContext

PASSPHRASE = "correct horse battery"
KIND = ["--role", "note", "--schema", "text/1"]


@pytest.fixture(autouse=True)
def project(tmp_path: Path, keyring_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("lockstep.sealing.wrapping._COST", {"n": 2**10, "r": 8, "p": 1})
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "params.yaml").write_text("project: demo\n")
    (folder / "note.txt").write_text("secret note\n")
    (folder / "passphrase").write_text(PASSPHRASE + "\n")
    return folder


def run(*arguments: str, given: str | bytes = "") -> Result:
    """Run a command; raises what it raised."""
    app = typer.Typer()
    app.add_typer(sealing.keys, name="keys")
    app.command("seal")(sealing.seal)
    app.command("open")(sealing.open_)
    app.command("inspect")(sealing.inspect)
    result = CliRunner().invoke(app, list(arguments), input=given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_new_says_to_back_up_once(keyring_file: Path, project: Path) -> None:
    first, second = run("keys", "new").output, run("keys", "new").output
    key_id = (project / "lockstep.key-id").read_text().strip()
    assert "BACK IT UP" in first
    assert str(keyring_file) in first
    assert "BACK IT UP" not in second
    assert key_id in first
    assert key_id in second
    assert f"{key_id}  active, lockstep.key-id" in run("keys", "list").output


def test_list_names_a_key_that_is_missing(project: Path) -> None:
    run("keys", "new")
    (project / "lockstep.key-id").write_text("0" * 16 + "\n")
    with pytest.raises(KeyMissing, match=r"0{16}"):
        run("keys", "list")


def test_export_and_import(keyring_file: Path, project: Path) -> None:
    run("keys", "new")
    keyring = keyring_file.read_bytes()
    run("keys", "export", "keys.json", "--passphrase-file", "passphrase")
    assert stat.S_IMODE((project / "keys.json").stat().st_mode) == 0o600
    with pytest.raises(UsageError, match=r"keys\.json exists.*--force"):
        run("keys", "export", "keys.json", "--passphrase-file", "passphrase")
    keyring_file.unlink()
    run("keys", "import", "keys.json", given=PASSPHRASE + "\n")
    assert keyring_file.read_bytes() == keyring


def test_passphrase_is_asked_for_twice_on_export(project: Path) -> None:
    run("keys", "new")
    assert run("keys", "export", "keys.json", given=f"{PASSPHRASE}\n{PASSPHRASE}\n").exit_code == 0
    assert run("keys", "export", "again.json", given=f"{PASSPHRASE}\nanother one\n").exit_code != 0
    assert not (project / "again.json").exists()


def test_container_export(project: Path, keyring_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("keys", "new")
    run("seal", "note.txt", *KIND)
    result = run("keys", "export", "key.env", "--container")
    name, token = (project / "key.env").read_text().strip().split("=", 1)
    assert "IN CLEAR" in result.output
    assert token not in result.output
    assert stat.S_IMODE((project / "key.env").stat().st_mode) == 0o600
    keyring_file.unlink()
    monkeypatch.setenv(name, token)
    assert run("open", "note.txt.sealed").stdout == "secret note\n"


def test_seal_open_and_force(project: Path) -> None:
    run("keys", "new")
    run("seal", "note.txt", *KIND)
    sealed = (project / "note.txt.sealed").read_bytes()
    assert b"secret" not in sealed
    assert run("open", "note.txt.sealed").stdout == "secret note\n"
    with pytest.raises(UsageError, match="--force"):
        run("seal", "note.txt", *KIND)
    with pytest.raises(UsageError, match="--force"):
        run("open", "note.txt.sealed", "--out", "note.txt")
    run("open", "note.txt.sealed", "--out", "note.txt", "--force")
    run("seal", "note.txt", *KIND, "--force")
    assert (project / "note.txt.sealed").read_bytes() == sealed
    with pytest.raises(WrongContext):
        run("open", "note.txt.sealed", "--role", "train")


def test_seal_of_the_standard_input(project: Path) -> None:
    run("keys", "new")
    run("seal", "-", *KIND, "--out", "x.sealed", given="from a pipe")
    assert run("open", "x.sealed").stdout == "from a pipe"
    with pytest.raises(UsageError, match="--out"):
        run("seal", "-", *KIND)


def test_nothing_of_a_damaged_file_is_written(project: Path) -> None:
    run("keys", "new")
    (project / "large").write_bytes(bytes(5_000_000))
    run("seal", "large", *KIND)
    sealed = project / "large.sealed"
    sealed.write_bytes(sealed.read_bytes()[:-1])
    with pytest.raises(LockstepError, match="cut short"):
        run("open", "large.sealed")
    with pytest.raises(LockstepError, match="cut short"):
        run("open", "large.sealed", "--out", "opened")
    assert not (project / "opened").exists()


def test_inspect(project: Path, keyring_file: Path) -> None:
    run("keys", "new")
    run("seal", "note.txt", *KIND)
    run("seal", "note.txt", *KIND, "--random-salt", "--out", "r.sealed")
    shown = run("inspect", "note.txt.sealed", "r.sealed").output
    for fact in ("demo", "note", "text/1", (project / "lockstep.key-id").read_text().strip(), "12 bytes"):
        assert shown.count(fact) >= 2
    assert "synthetic" in shown
    assert "random" in shown
    assert "whole" in shown
    keyring_file.unlink()
    assert "not checked" in run("inspect", "note.txt.sealed").output
    with pytest.raises(LockstepError, match="not sealed"):
        run("inspect", "note.txt")


def test_inspect_finds_damage_and_goes_on(project: Path) -> None:
    run("keys", "new")
    run("seal", "note.txt", *KIND)
    (project / "note.txt.sealed").write_bytes((project / "note.txt.sealed").read_bytes() + b"x")
    with pytest.raises(LockstepError, match=r"Damaged or not sealed: note\.txt, note\.txt\.sealed\."):
        run("inspect", "note.txt", "note.txt.sealed")


@pytest.mark.parametrize(
    "arguments",
    [["open", "absent"], ["inspect", "absent"], ["seal", "absent", *KIND], ["keys", "import", "absent"]],
)
def test_missing_files_are_named(arguments: list[str]) -> None:
    run("keys", "new")
    with pytest.raises(UsageError, match="absent does not exist"):
        run(*arguments)


def test_a_wrong_role_is_a_usage_error(project: Path) -> None:
    run("keys", "new")
    with pytest.raises(UsageError, match="no te"):
        run("seal", "note.txt", "--role", "no te", "--schema", "text/1")
    assert not (project / "note.txt.sealed").exists()


def test_the_keyring_never_shows_in_output(keyring_file: Path) -> None:
    shown = run("keys", "new").output + run("keys", "list").output
    shown += run("keys", "export", "keys.json", "--passphrase-file", "passphrase").output
    document = json.loads(keyring_file.read_text())
    assert document["digest_key"] not in shown
    assert document["keys"][0]["key"] not in shown
