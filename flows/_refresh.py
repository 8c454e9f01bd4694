"""The fingerprint of a source that is no file of this machine: what DVC compares in its place."""

from __future__ import annotations

from pathlib import Path

DECLARATION = Path("data/source.json")


def refresh(root: Path) -> bool | None:
    """Take the fingerprint of the project's source anew.

    Returns
    -------
    bool or None
        Whether it changed; None where the source is a file, which DVC hashes itself.

    Raises
    ------
    LockstepError
        The source cannot be read, or the keyring is missing. The fingerprint is left as it was.
    """
    path = root / DECLARATION
    if not path.is_file():
        return None
    from dataclasses import replace

    from flows._yaml import load
    from lockstep.data.sources import read_declaration
    from lockstep.files import write_atomic
    from lockstep.sealing.keyring import open_keyring

    declaration = read_declaration(path)
    keyring = open_keyring(str(load(root / "params.yaml")["project"]))
    fingerprint = keyring.digest(declaration.read())
    if fingerprint == declaration.fingerprint:
        return False
    write_atomic(path, replace(declaration, fingerprint=fingerprint).to_json())
    return True
