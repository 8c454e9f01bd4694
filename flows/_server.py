"""Which Prefect server a run talks to. To be settled before Prefect is imported, for it reads its settings then."""

from __future__ import annotations

import json
import os
import tomllib
import urllib.request
from pathlib import Path

RECORD = Path(".lockstep/server.json")


def settle(root: Path) -> str | None:
    """Set Prefect's environment for a run in `root`.

    Returns
    -------
    str or None
        Address of the server's API, or None where the run gets an ephemeral server of its own.

    Notes
    -----
    In this order: the server of ``PREFECT_API_URL`` or of the person's Prefect profile, the one that `lockstep up`
    keeps for the project, an ephemeral one. A server that does not answer is passed over.
    """
    quiet(root)
    for address in (os.environ.get("PREFECT_API_URL") or _of_profile(), recorded(root)):
        if address and answers(address):
            os.environ["PREFECT_API_URL"] = address
            return address
    os.environ.pop("PREFECT_API_URL", None)
    # The person's own profile may name the server that does not answer.
    os.environ["PREFECT_PROFILE"] = "ephemeral"
    return None


def quiet(root: Path) -> None:
    """Nothing phones home, and Prefect's log goes to its UI and not over the bars."""
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    os.environ["DO_NOT_TRACK"] = "1"
    defaults = {
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
    }
    # A database for each project: servers of several projects would lock each other out of one SQLite file.
    if "PREFECT_API_DATABASE_CONNECTION_URL" not in os.environ:
        database = root / ".lockstep" / "prefect.db"
        database.parent.mkdir(exist_ok=True)
        defaults["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = f"sqlite+aiosqlite:///{database}"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _of_profile() -> str | None:
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    path = Path(os.environ.get("PREFECT_PROFILES_PATH", home / "profiles.toml")).expanduser()
    try:
        profiles = tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        return None
    name = os.environ.get("PREFECT_PROFILE") or profiles.get("active")
    address = profiles.get("profiles", {}).get(name, {}).get("PREFECT_API_URL")
    return str(address) if address else None


def recorded(root: Path) -> str | None:
    """Address that `lockstep up` recorded for the project, whether or not it still answers."""
    try:
        return str(json.loads((root / RECORD).read_text("utf-8"))["api"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def answers(address: str, seconds: float = 2.0) -> bool:
    """Whether a Prefect server answers at `address`."""
    if not address.startswith(("http://", "https://")):
        return False
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/health", timeout=seconds) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except OSError:
        return False
