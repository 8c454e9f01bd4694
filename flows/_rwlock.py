"""DVC's record of who reads and writes which file, where a kill left it so that every DVC command fails.

DVC rewrites ``.dvc/tmp/rwlock`` in place, so a process that is killed meanwhile leaves an empty or a half file,
which no DVC command can read any more. It forgets owners that are dead, but takes one whose number another process
has got, after a restart say, for alive.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from flows._locks import RUN, is_held, only_one
from lockstep.errors import LockstepError

_FILE = Path(".dvc/tmp/rwlock")
#: What the kernel's and the file system's clocks may be apart.
_CLOCK_SECONDS = 2.0


def mend(root: Path) -> str | None:
    """Remove the record at `root` where a killed process left it unusable; nothing is lost with it.

    Returns
    -------
    str or None
        What was done, in one line.

    Raises
    ------
    LockstepError
        It is unusable, but a process that may own a part of it lives.
    """
    path = root / _FILE
    if not _is_suspect(path) or is_held(root / RUN):
        return None
    with only_one(root / RUN, "Another run ({owner}) starts. Wait for it.", keep=True):
        return _mend(root, path)


def _is_suspect(path: Path) -> bool:
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    return isinstance(record, dict) and any(record.values())


def _mend(root: Path, path: Path) -> str | None:
    from dvc.lock import make_lock
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        guard = make_lock(
            f"{path}.lock",
            tmp_dir=str(path.parent),
            hardlink_lock=repo.config["core"].get("hardlink_lock", False),
        )
    # Who edits the record holds this, so what is in it now is what it will stay.
    with guard:
        if not _is_suspect(path):
            return None
        text, written = path.read_text(errors="replace"), path.stat().st_mtime
        readable = _is_json(text)
        # This process runs no stage yet, or no longer.
        owners = {int(pid) for pid in re.findall(r'"pid":\s*(\d+)', text)} - {os.getpid()}
        reused = {pid for pid in owners if _started(pid) > written + _CLOCK_SECONDS}
        living = {pid for pid in owners - reused if _started(pid)}
        if readable and (living or not reused):
            return None
        living |= set() if readable else _at_work(root)
        if living:
            raise LockstepError(
                f"{_FILE} was damaged by a process that was killed, and DVC's process "
                f"{', '.join(map(str, sorted(living)))} may still work here. Wait for it or end it, then try again."
            )
        path.unlink()
    return f"Removed {_FILE}, which a process that was killed had left unusable for DVC."


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _started(pid: int) -> float:
    """When a process started, in seconds since the epoch; 0 where there is none."""
    import psutil

    try:
        return float(psutil.Process(pid).create_time())
    except psutil.Error:
        return 0.0


def _at_work(root: Path) -> set[int]:
    """Processes of DVC's command in the project: a file that lost its text does not name them."""
    import psutil

    found, background = set(), set()
    process: Any
    for process in psutil.process_iter(["cmdline", "cwd", "ppid"]):
        words, cwd = process.info["cmdline"] or [], process.info["cwd"]
        if "daemon" in words:
            # DVC's report of usage, and the fork of the command that waits for it and looks like it.
            background |= {process.pid, process.info["ppid"]}
        elif cwd and Path(cwd).is_relative_to(root.resolve()):
            found |= {process.pid} if any(Path(word).name == "dvc" for word in words[:4]) else set()
    return found - background
