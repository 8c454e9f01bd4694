"""Which Prefect server a run talks to. Settled before Prefect is imported, for it reads its settings then."""

from __future__ import annotations

import base64
import json
import os
import tomllib
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path

from flows._locks import UP, is_held
from lockstep.errors import UsageError
from lockstep.files import write_atomic

_RECORD = Path(".lockstep/server.json")


def settle(root: Path) -> str | None:
    """Set Prefect's environment for a run in `root`.

    Returns
    -------
    str or None
        Address of the server's API, or None where the run gets an ephemeral server of its own.

    Notes
    -----
    In this order: the server of ``PREFECT_API_URL`` or of the person's Prefect profile, the one that
    `lockstep up` keeps for the project, an ephemeral one. A server that does not answer is passed over.

    Raises
    ------
    UsageError
        It answers, but wants other credentials.
    """
    quiet(root)
    for address in (configured(), kept(root)):
        if address and answers(address):
            check_credentials(address)
            os.environ["PREFECT_API_URL"] = address
            return address
    os.environ.pop("PREFECT_API_URL", None)
    # The person's own profile may name the server that does not answer.
    os.environ["PREFECT_PROFILE"] = "ephemeral"
    return None


def quiet(root: Path) -> None:
    """Nothing phones home, Prefect's log goes to its UI and not over the bars, and who may serve may also ask."""
    if credentials := os.environ.get("PREFECT_SERVER_API_AUTH_STRING"):
        os.environ.setdefault("PREFECT_API_AUTH_STRING", credentials)
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    os.environ["DO_NOT_TRACK"] = "1"
    defaults = {
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
        "PREFECT_INTERNAL_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_SERVER_LOGGING_LEVEL": "ERROR",
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
        # The first start on a machine makes the database and compiles Prefect: 20 s are too few on a busy one.
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    }
    if "PREFECT_API_DATABASE_CONNECTION_URL" not in os.environ:
        # One for each project: the servers of several would lock each other out of one SQLite file.
        database = root / ".lockstep" / "prefect.db"
        database.parent.mkdir(exist_ok=True)
        defaults["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = f"sqlite+aiosqlite:///{database}"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def configured() -> str | None:
    """Address of the API that the environment or the person's Prefect profile names."""
    return _setting("PREFECT_API_URL")


def _setting(setting: str) -> str | None:
    if value := os.environ.get(setting):
        return value
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    path = Path(os.environ.get("PREFECT_PROFILES_PATH", home / "profiles.toml")).expanduser()
    try:
        profiles = tomllib.loads(path.read_text("utf-8"))
    except (OSError, tomllib.TOMLDecodeError):
        return None
    name = os.environ.get("PREFECT_PROFILE") or profiles.get("active")
    value = profiles.get("profiles", {}).get(name, {}).get(setting)
    return str(value) if value else None


def keep(root: Path, address: str) -> None:
    """Record that `lockstep up` keeps the server at `address` for the project."""
    write_atomic(root / _RECORD, json.dumps({"api": address}).encode())


def kept(root: Path) -> str | None:
    """Address that a living `lockstep up` recorded for the project."""
    if not is_held(root / UP):
        return None
    try:
        return str(json.loads((root / _RECORD).read_text("utf-8"))["api"])
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


def check_credentials(address: str) -> None:
    """Ask the server at `address` for something that it does not tell everybody.

    Raises
    ------
    UsageError
        It wants other credentials.
    """
    headers = {}
    if credentials := _setting("PREFECT_API_AUTH_STRING"):
        headers["Authorization"] = f"Basic {base64.b64encode(credentials.encode()).decode()}"
    elif key := _setting("PREFECT_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(f"{address.rstrip('/')}/admin/version", headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=2.0):  # noqa: S310
            return
    except urllib.error.HTTPError as error:
        if error.code not in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
            return
    except OSError:
        return
    raise UsageError(
        f"The Prefect server at {address} refuses these credentials. Set PREFECT_API_AUTH_STRING to those with "
        "which it was started (its PREFECT_SERVER_API_AUTH_STRING)."
    )
