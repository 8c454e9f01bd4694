"""Keys: one master key each, from which everything else is derived by label."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from typing import NoReturn

from lockstep.errors import KeyringError
from lockstep.sealing.cobblestone import KEY_SIZE, SALT_SIZE, Buffer, hkdf_expand

_LABEL = b"lockstep/sealing@v1 "
_ID_SIZE = 8
_KEY_ID = re.compile(r"[0-9a-f]{16}")
_TOKEN_PREFIX = "lockstep-key-1-"  # noqa: S105 - the mark of the form, by which scanners find leaked ones
_CHECK_SIZE = 4


class Secret:
    """32 secret bytes, which no repr, pickle or copy of the object shows."""

    __slots__ = ("_bytes",)

    def __init__(self, content: bytes) -> None:
        if len(content) != KEY_SIZE:
            raise KeyringError(f"A key has {KEY_SIZE} bytes, not {len(content)}.")
        self._bytes = content

    def reveal(self) -> bytes:
        """The bytes themselves, for a keyring file or a cipher."""
        return self._bytes

    def derive(self, purpose: bytes, size: int = KEY_SIZE) -> bytes:
        """Bytes for one purpose alone: HKDF-Expand-SHA-512 under a label of its own."""
        return hkdf_expand(self._bytes, _LABEL + purpose, size)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} is not pickled: it would leave the process in clear")


class Key(Secret):
    """A master key. Its id is derived from it, so that a keyring cannot name it wrongly.

    Attributes
    ----------
    id
        16 hexadecimal digits; not secret.
    encryption
        Input key of the Cobblestone bodies.
    """

    __slots__ = ("_salt", "encryption", "id")

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.id = self.derive(b"key id", _ID_SIZE).hex()
        self.encryption = self.derive(b"encryption")
        # Sharing one key between the salt and the encryption would let one tell about the other.
        self._salt = self.derive(b"synthetic salt")

    @classmethod
    def generate(cls) -> Key:
        """A new random key."""
        return cls(secrets.token_bytes(KEY_SIZE))

    def synthetic_salt(self, context: bytes) -> SyntheticSalt:
        """Start the salt of a plaintext that is sealed in `context`."""
        return SyntheticSalt(self._salt, context)

    def __repr__(self) -> str:
        return f"<Key {self.id}>"


class SyntheticSalt:
    """HMAC-SHA-512 over context and plaintext, cut to a salt: equal only where both are equal.

    With it the same plaintext gives the same ciphertext, as SIV modes do (RFC 5297, section 1.1).
    """

    def __init__(self, key: bytes, context: bytes) -> None:
        start = _LABEL + b"salt\x00" + len(context).to_bytes(8, "big") + context
        self._mac = hmac.new(key, start, hashlib.sha512)

    def update(self, plaintext: Buffer) -> None:
        """Add the next bytes of the plaintext."""
        self._mac.update(plaintext)

    def finish(self) -> bytes:
        """The salt, 24 bytes."""
        return self._mac.digest()[:SALT_SIZE]


class DigestKey(Secret):
    """The project's secret under which contents are named. Rotation keeps it."""

    @classmethod
    def generate(cls) -> DigestKey:
        """A new random digest key."""
        return cls(secrets.token_bytes(KEY_SIZE))

    def digest(self, plaintext: Buffer) -> str:
        """HMAC-SHA-256 of `plaintext`, 64 hexadecimal digits."""
        return hmac.new(self.derive(b"content digest"), plaintext, hashlib.sha256).hexdigest()


def is_key_id(text: str) -> bool:
    """Tell whether `text` has the form of a key id."""
    return _KEY_ID.fullmatch(text) is not None


def to_token(key: Key, digest_key: DigestKey) -> str:
    """One line that carries a key and the digest key, for LOCKSTEP_KEY."""
    content = digest_key.reveal() + key.reveal()
    check = hashlib.sha256(content).digest()[:_CHECK_SIZE]
    return _TOKEN_PREFIX + base64.urlsafe_b64encode(content + check).decode().rstrip("=")


def from_token(token: str) -> tuple[Key, DigestKey]:
    """Inverse of `to_token`; raises KeyringError, never showing the token."""
    encoded = token.removeprefix(_TOKEN_PREFIX)
    try:
        content = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        content = b""
    secret, check = content[:-_CHECK_SIZE], content[-_CHECK_SIZE:]
    if (
        encoded == token
        or len(secret) != 2 * KEY_SIZE
        or hashlib.sha256(secret).digest()[:_CHECK_SIZE] != check
    ):
        raise KeyringError(
            "LOCKSTEP_KEY carries no key of Lockstep, or one that was cut or mistyped. Write it anew with "
            "`lockstep keys export --container FILE`, or unset it to use the keyring."
        )
    return Key(secret[KEY_SIZE:]), DigestKey(secret[:KEY_SIZE])
