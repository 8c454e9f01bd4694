"""Keyrings on their way from one machine to another, wrapped under a passphrase."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import unicodedata
from collections.abc import Mapping

from lockstep.errors import KeyringError, SealDamaged
from lockstep.sealing.cobblestone import KEY_SIZE, SALT_SIZE, decrypt, encrypt
from lockstep.sealing.keyring import Keyring

MIN_PASSPHRASE = 12

_FORMAT = "lockstep-keyring-export/1"
_COST = {"n": 2**17, "r": 8, "p": 1}
"""Of scrypt, as OWASP advises: 128 MiB and some tenths of a second for each guess."""
_MOST = {"n": 2**20, "r": 8, "p": 4}
"""What a file may ask for, 1 GiB: it is not authenticated before it was paid."""


def wrap(keyring: Keyring, passphrase: str) -> bytes:
    """Encrypt a keyring under a passphrase: scrypt (RFC 7914), then Cobblestone-256, which commits to a key.

    Parameters
    ----------
    keyring
        All of its keys go along.
    passphrase
        At least 12 characters.

    Returns
    -------
    bytes
        A JSON document.

    Raises
    ------
    KeyringError
        The passphrase is too short.
    """
    if len(passphrase) < MIN_PASSPHRASE:
        raise KeyringError(f"The passphrase needs at least {MIN_PASSPHRASE} characters: it guards every key.")
    salt = secrets.token_bytes(SALT_SIZE)
    document = {"format": _FORMAT, "scrypt": _COST, "salt": salt.hex()}
    body = encrypt(_derive(passphrase, salt, _COST), _context(document), keyring.to_json(), salt)
    document["body"] = base64.b64encode(body).decode()
    return (json.dumps(document, indent=2) + "\n").encode()


def unwrap(content: bytes, passphrase: str, source: str) -> Keyring:
    """Inverse of `wrap`.

    Raises
    ------
    KeyringError
        `source`, where `content` came from, is no export, was damaged, or has another passphrase.
    """
    try:
        document = json.loads(content)
        body = base64.b64decode(document.pop("body"), validate=True)
        salt, cost = bytes.fromhex(document["salt"]), {name: int(document["scrypt"][name]) for name in _MOST}
        known = document["format"] == _FORMAT and len(salt) == SALT_SIZE
    except (ValueError, TypeError, LookupError, AttributeError):
        known = False
    if not known:
        raise KeyringError(
            f"{source} is no exported keyring. Write it anew with `lockstep keys export FILE`."
        )
    if any(not 0 < cost[name] <= most for name, most in _MOST.items()):
        raise KeyringError(
            f"{source} asks for more memory or time than any export of Lockstep. It was altered."
        )
    try:
        keyring = decrypt(_derive(passphrase, salt, cost), _context(document), body)
    except (SealDamaged, ValueError):
        raise KeyringError(f"{source} does not open: another passphrase, or it was damaged.") from None
    return Keyring.from_json(keyring, source)


def _derive(passphrase: str, salt: bytes, cost: dict[str, int]) -> bytes:
    memory = 128 * cost["r"] * (cost["n"] + cost["p"] + 2)
    return hashlib.scrypt(
        unicodedata.normalize("NFC", passphrase).encode(), salt=salt, **cost, maxmem=memory, dklen=KEY_SIZE
    )


def _context(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
