"""Cobblestone-256: chunked encryption with random access (https://c2sp.org/chunked-encryption, version 1)."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, NoReturn

from Crypto.Cipher import AES

from lockstep.errors import SealDamaged
from lockstep.sealing._memory import reserve

Buffer = bytes | bytearray | memoryview

KEY_SIZE = 32
SALT_SIZE = 24
COMMITMENT_SIZE = 32
CHUNK_SIZE = 16 * 1024
TAG_SIZE = 16
SEALED_CHUNK_SIZE = CHUNK_SIZE + TAG_SIZE
PREFIX_SIZE = SALT_SIZE + COMMITMENT_SIZE
MAX_CHUNKS = 2**38

_NONCE_SIZE = 12
_INFO = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"


def hkdf_expand(key: bytes, info: bytes, size: int) -> bytes:
    """HKDF-Expand with SHA-512 (RFC 5869, section 2.3): `size` bytes from a uniformly random key."""
    output, block, counter = b"", b"", 1
    while len(output) < size:
        block = hmac.digest(key, block + info + bytes([counter]), hashlib.sha512)
        output, counter = output + block, counter + 1
    return output[:size]


def body_size(plaintext_size: int) -> int:
    """Bytes of the body of a message of `plaintext_size` bytes."""
    return PREFIX_SIZE + plaintext_size + (plaintext_size // CHUNK_SIZE + 1) * TAG_SIZE


def plaintext_size(body_size: int) -> int:
    """Bytes of plaintext that a body of `body_size` bytes claims to hold; its last chunk's tag proves it.

    Raises
    ------
    SealDamaged
        No message has a body of this size.
    """
    whole, rest = divmod(body_size - PREFIX_SIZE, SEALED_CHUNK_SIZE)
    if whole < 0 or rest < TAG_SIZE:
        raise SealDamaged("it was cut short")
    if whole >= MAX_CHUNKS:
        raise SealDamaged("it is longer than any message of the format can be")
    return whole * CHUNK_SIZE + rest - TAG_SIZE


class Message:
    """The key, base nonce and commitment of one message, derived from an input key, a context and a salt.

    Attributes
    ----------
    prefix
        salt || commitment: the first 56 bytes of the body.

    Parameters
    ----------
    key
        Input key, 32 uniformly random bytes.
    context
        What the message is bound to; any length.
    salt
        24 bytes that never repeat under `key` for another context or plaintext.
    """

    __slots__ = ("_base_nonce", "_key", "prefix")

    def __init__(self, key: bytes, context: bytes, salt: bytes) -> None:
        if len(key) != KEY_SIZE or len(salt) != SALT_SIZE:
            raise ValueError("a key has 32 bytes and a salt 24")
        size = KEY_SIZE + _NONCE_SIZE + COMMITMENT_SIZE
        derived = hkdf_expand(key, _INFO + salt + context, size)
        self._key = derived[:KEY_SIZE]
        self._base_nonce = int.from_bytes(derived[KEY_SIZE:-COMMITMENT_SIZE], "big")
        self.prefix = salt + derived[-COMMITMENT_SIZE:]

    @classmethod
    def resume(cls, key: bytes, context: bytes, prefix: Buffer) -> Message:
        """The message whose body starts with `prefix`, 56 bytes.

        Raises
        ------
        SealDamaged
            The prefix is incomplete, or its commitment not that of `key`, `context` and the salt.
        """
        if len(prefix) < PREFIX_SIZE:
            raise SealDamaged("it was cut short")
        message = cls(key, context, bytes(prefix[:SALT_SIZE]))
        if not hmac.compare_digest(message.prefix, prefix):
            raise SealDamaged("its header or salt was altered, or another key sealed it")
        return message

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Message is not pickled: it holds a key")

    def encrypt(self, plaintext: Buffer, before: bytes = b"") -> bytes:
        """The whole body, with `before` in front of it."""
        start = len(before) + PREFIX_SIZE
        result = reserve(len(before) + body_size(memoryview(plaintext).nbytes))
        with result.getbuffer() as output:
            output[:start] = before + self.prefix
            self.seal_into(output[start:], plaintext)
        return result.getvalue()

    def decrypt(self, chunks: Buffer) -> bytes:
        """Plaintext of all chunks of the message; raises as `open_into`."""
        result = reserve(plaintext_size(PREFIX_SIZE + len(chunks)))
        with result.getbuffer() as output:
            self.open_into(output, chunks)
        return result.getvalue()

    def seal_into(
        self, output: bytearray | memoryview, plaintext: Buffer, first: int = 0, *, final: bool = True
    ) -> int:
        """Encrypt consecutive chunks; gives the number of bytes of ciphertext.

        Parameters
        ----------
        output
            Takes their ciphertexts and tags.
        plaintext
            Their plaintext. Unless `final`, a multiple of 16 KiB.
        first
            Number of the first of them in the message.
        final
            The message ends here: its last chunk, shorter than 16 KiB and perhaps empty, is among them.
        """
        source, target = memoryview(plaintext).cast("B"), memoryview(output)
        whole, rest = divmod(len(source), CHUNK_SIZE)
        if rest and not final:
            raise ValueError(f"{len(source)} bytes are no whole number of chunks")
        end = 0
        for number in range(whole + final):
            chunk = source[number * CHUNK_SIZE : (number + 1) * CHUNK_SIZE]
            start, tag_at = end, end + len(chunk)
            end = tag_at + TAG_SIZE
            cipher = self._cipher(first + number)
            _, target[tag_at:end] = cipher.encrypt_and_digest(chunk, output=target[start:tag_at])
        return end

    def open_into(
        self, output: bytearray | memoryview, sealed: Buffer, first: int = 0, *, final: bool = True
    ) -> int:
        """Decrypt consecutive chunks; inverse of `seal_into`, gives the number of bytes of plaintext.

        What `output` holds is to be used only when this function has returned: where it raises, the last
        plaintext in there is not authentic.

        Raises
        ------
        SealDamaged
            A chunk was altered, moved, or is not the one that ends the message (`final`).
        """
        source, target = memoryview(sealed).cast("B"), memoryview(output)
        whole, rest = divmod(len(source), SEALED_CHUNK_SIZE)
        if (rest < TAG_SIZE) if final else rest:
            raise SealDamaged("it was cut short")
        end = 0
        for number in range(whole + final):
            chunk = source[number * SEALED_CHUNK_SIZE : (number + 1) * SEALED_CHUNK_SIZE]
            start, end = end, end + len(chunk) - TAG_SIZE
            cipher = self._cipher(first + number)
            try:
                cipher.decrypt_and_verify(chunk[:-TAG_SIZE], chunk[-TAG_SIZE:], output=target[start:end])
            except ValueError:
                raise SealDamaged(f"chunk {first + number} was altered, moved or cut short") from None
        return end

    def _cipher(self, number: int) -> Any:
        if not 0 <= number < MAX_CHUNKS:
            raise SealDamaged("it is longer than any message of the format can be")
        nonce = (self._base_nonce ^ number).to_bytes(_NONCE_SIZE, "big")
        return AES.new(self._key, AES.MODE_GCM, nonce=nonce, mac_len=TAG_SIZE)


def encrypt(key: bytes, context: bytes, plaintext: Buffer, salt: bytes) -> bytes:
    """Encrypt a message.

    Parameters
    ----------
    key
        32 uniformly random bytes.
    context
        What the message is bound to: `decrypt` needs the same.
    plaintext
        The message.
    salt
        24 bytes that never repeat under `key` for another context or plaintext.

    Returns
    -------
    bytes
        salt (24) || commitment (32) || chunks of 16 KiB, each followed by its tag (16).
    """
    return Message(key, context, salt).encrypt(plaintext)


def decrypt(key: bytes, context: bytes, body: Buffer) -> bytes:
    """Decrypt what `encrypt` returned.

    Raises
    ------
    SealDamaged
        The body is incomplete or was altered, or key or context are not those that it was encrypted with.
    """
    view = memoryview(body).cast("B")
    plaintext_size(len(view))
    return Message.resume(key, context, view[:PREFIX_SIZE]).decrypt(view[PREFIX_SIZE:])
