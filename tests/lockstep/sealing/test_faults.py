"""Kills, full disks and failing ones at every write, fsync and rename: the old file or the new one, and no key lost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lockstep.sealing.keyring import Keyring, open_keyring, save_keyring, set_up_keys
from lockstep.sealing.keys import Key
from lockstep.sealing.vault import open_vault

from .conftest import EXPECTED

CALLS = ["write", "pwrite64", "fsync", "rename"]
FAULTS = ["signal=KILL", "error=ENOSPC", "error=EIO"]
OLD, NEW = b"the old content " * 20, b"the new content " * 200_000

WRITE = "open_vault('demo', 'key-id').write('x.sealed', NEW, role='train', schema='table/1')"
STREAM = "open_vault('demo', 'key-id').seal_stream(open('source', 'rb'), 'x.sealed', role='train', schema='table/1')"
IMPORT = "import_keys('demo', Keyring.from_json(open('other.json', 'rb').read(), 'other'))"
SET_UP = "set_up_keys('demo', Path('key-id'))"
SCRIPT = """
from pathlib import Path
from lockstep.sealing.keyring import Keyring, import_keys, set_up_keys
from lockstep.sealing.vault import open_vault
NEW = b"the new content " * 200_000
{}
"""

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="injects faults with strace")


def sealed(folder: Path, failed: bool) -> None:
    content = open_vault("demo", folder / "key-id").read(folder / "x.sealed", **EXPECTED)
    assert content in ((OLD, NEW) if failed else (NEW,))
    stored = [path for path in folder.rglob("*") if path.is_file() and path.name != "source"]
    assert not [path for path in stored if b"the new content" in path.read_bytes()]


def imported(folder: Path, failed: bool) -> None:
    keyring = open_keyring("demo")
    assert (folder / "key-id").read_text().strip() in keyring.keys
    assert len(keyring.keys) in ((1, 2) if failed else (2,))


def set_up(folder: Path, failed: bool) -> None:
    # Whatever happened, setting up again ends well, and with the key that may already have been used.
    named = (folder / "key-id").read_text().strip() if (folder / "key-id").exists() else None
    again = set_up_keys("demo", folder / "key-id")
    assert named in (None, again.key_id)
    assert failed or (named is not None and not again.created)


def prepare(folder: Path, keyring_file: Path, statement: str) -> None:
    if statement == SET_UP:
        return
    set_up_keys("demo", folder / "key-id")
    open_vault("demo", folder / "key-id").write(folder / "x.sealed", OLD, **EXPECTED)
    (folder / "source").write_bytes(NEW)
    keyring, new = open_keyring("demo"), Key.generate()
    save_keyring(
        Keyring(keyring.keys | {new.id: new}, new.id, keyring.digest_key, "other"), folder / "other.json"
    )


def run(folder: Path, statement: str, *options: str) -> tuple[int, int]:
    """Run a statement under strace; gives the number of traced calls and the exit code."""
    log = folder.parent / "log"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = ["strace", "-qq", "-o", str(log), *options, sys.executable, "-c", SCRIPT.format(statement)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True)
    return len(log.read_text().splitlines()), done.returncode


def inject(
    tmp_path: Path,
    keyring_file: Path,
    statement: str,
    check: Callable[[Path, bool], None],
    call: str,
    fault: str,
) -> None:
    for number in range(100):
        folder = tmp_path / str(number) / "project"
        folder.mkdir(parents=True)
        shutil.rmtree(keyring_file.parent, ignore_errors=True)
        prepare(folder, keyring_file, statement)
        if number == 0:
            count, code = run(folder, statement, "-e", f"trace={call}")
            assert code == 0, "strace may not trace here"
        else:
            _, code = run(
                folder,
                statement,
                "-e",
                f"trace={call}",
                "-e",
                f"inject={call}:{fault}:when={number}",
            )
            assert code != 0
        check(folder, code != 0)
        if fault.startswith("error"):
            assert not [path.name for path in folder.rglob("*.tmp")]
        if number == count:
            break


@pytest.mark.parametrize(
    ("statement", "check", "call", "fault"),
    [(WRITE, sealed, "fsync", "signal=KILL"), (IMPORT, imported, "rename", "error=ENOSPC")],
)
def test_a_sample(
    tmp_path: Path,
    keyring_file: Path,
    statement: str,
    check: Callable[[Path, bool], None],
    call: str,
    fault: str,
) -> None:
    inject(tmp_path, keyring_file, statement, check, call, fault)


@pytest.mark.faults
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("statement", "check"), [(WRITE, sealed), (STREAM, sealed), (IMPORT, imported), (SET_UP, set_up)]
)
def test_every_fault(
    tmp_path: Path,
    keyring_file: Path,
    statement: str,
    check: Callable[[Path, bool], None],
    call: str,
    fault: str,
) -> None:
    inject(tmp_path, keyring_file, statement, check, call, fault)
