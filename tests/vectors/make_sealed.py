"""Writes tests/vectors/sealed: `python -m tests.vectors.make_sealed`.

An implementation of docs/sealed-format.md of its own, on the `cryptography` package: it shares no line with
lockstep.sealing, so that a mistake there does not come out as an expectation here. A file holds one failure.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

FOLDER = Path(__file__).parent / "sealed"

MASTER = bytes(range(32))
OTHER_MASTER = bytes(range(1, 33))
DIGEST_KEY = bytes(range(32, 64))
PROJECT, ROLE, SCHEMA = "vectors", "train", "table/1"
CHUNK, TAG, PREFIX = 16384, 16, 56
STRIDE = CHUNK + TAG


def expand(key: bytes, info: bytes, size: int) -> bytes:
    return HKDFExpand(SHA512(), size, info).derive(key)


def key_id(master: bytes) -> bytes:
    return expand(master, b"lockstep/sealing@v1 key id", 8)


def pattern(size: int) -> bytes:
    """Plaintext whose bytes tell their place."""
    return b"".join(hashlib.sha256(number.to_bytes(8, "big")).digest() for number in range(size // 32 + 1))[
        :size
    ]


def body(key: bytes, context: bytes, plaintext: bytes, salt: bytes) -> bytes:
    """Cobblestone-256."""
    derived = expand(key, b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00" + salt + context, 76)
    cipher, base = AESGCM(derived[:32]), derived[32:44]
    chunks = []
    for number in range(len(plaintext) // CHUNK + 1):
        nonce = bytes(a ^ b for a, b in zip(base, number.to_bytes(12, "big"), strict=True))
        chunks.append(cipher.encrypt(nonce, plaintext[number * CHUNK : (number + 1) * CHUNK], None))
    return salt + derived[44:] + b"".join(chunks)


def header(master: bytes, role: str = ROLE, random_salt: bool = False) -> bytes:
    fixed = b"\x89LSEAL\r\n" + bytes([1, 1, random_salt, 0]) + CHUNK.to_bytes(4, "big") + key_id(master)
    return fixed + bytes([len(PROJECT), len(role), len(SCHEMA)]) + (PROJECT + role + SCHEMA).encode()


def seal(plaintext: bytes, master: bytes = MASTER, context: bytes | None = None) -> bytes:
    """A whole sealed file with a synthetic salt."""
    context = header(master) if context is None else context
    mac = hmac.new(expand(master, b"lockstep/sealing@v1 synthetic salt", 32), digestmod=hashlib.sha512)
    mac.update(b"lockstep/sealing@v1 salt\x00" + len(context).to_bytes(8, "big") + context + plaintext)
    return context + body(
        expand(master, b"lockstep/sealing@v1 encryption", 32), context, plaintext, mac.digest()[:24]
    )


def bodies() -> list[dict[str, object]]:
    """Known answers of the plain construction: sizes around the chunk, contexts empty and long."""
    cases = []
    for size in (0, 1, 1024, CHUNK - 1, CHUNK, CHUNK + 1, 20 * 1024, 2 * CHUNK, 3 * CHUNK + 5):
        for context in (b"", b"context", bytes(300)):
            salt = hashlib.sha256(b"%d %d" % (size, len(context))).digest()[:24]
            sealed = body(MASTER, context, pattern(size), salt)
            case = {
                "size": size,
                "context": context.hex(),
                "salt": salt.hex(),
                "prefix": sealed[:PREFIX].hex(),
            }
            cases.append(case | {"sha256": hashlib.sha256(sealed).hexdigest()})
    return cases


def files() -> dict[str, tuple[bytes, str | None]]:
    """Content and expected error (None: opens) by name."""
    small, large = seal(pattern(100)), seal(pattern(2 * CHUNK + 100))
    start = len(header(MASTER))
    chunks_at = start + PREFIX
    head, (one, two, last) = large[:chunks_at], split(large[chunks_at:])
    other = seal(pattern(2 * CHUNK + 101))[chunks_at:]

    def put(at: int, content: bytes) -> bytes:
        return small[:at] + content + small[at + len(content) :]

    def flip(at: int) -> bytes:
        return put(at, bytes([small[at] ^ 1]))

    as_test = seal(pattern(100), context=header(MASTER, "test"))
    wrong_key = header(MASTER) + seal(pattern(100), OTHER_MASTER, header(MASTER))[start:]
    return {
        "good-empty": (seal(b""), None),
        "good-small": (small, None),
        "good-three-chunks": (large, None),
        "good-full-chunk": (seal(pattern(CHUNK)), None),
        "plain": (pattern(200), "NotSealed"),
        "magic-flipped": (flip(0), "NotSealed"),
        "magic-newline-converted": (small.replace(b"\r\n", b"\n", 1), "NotSealed"),
        "empty-file": (b"", "SealDamaged"),
        "cut-in-magic": (small[:5], "SealDamaged"),
        "version-2": (put(8, b"\x02"), "SealUnsupported"),
        "algorithm-unknown": (put(9, b"\x02"), "SealUnsupported"),
        "salt-kind-flipped": (flip(10), "SealDamaged"),
        "salt-kind-unknown": (put(10, b"\x02"), "SealDamaged"),
        "reserved-byte-set": (put(11, b"\x01"), "SealDamaged"),
        "chunk-size-other": (put(12, (32768).to_bytes(4, "big")), "SealUnsupported"),
        "key-unknown": (flip(16), "KeyMissing"),
        "key-wrong": (wrong_key, "SealDamaged"),
        "project-length-oversized": (put(24, b"\xff"), "SealDamaged"),
        "project-length-zero": (put(24, b"\x00"), "SealDamaged"),
        "project-other": (flip(27), "WrongContext"),
        "role-other": (as_test, "WrongContext"),
        "role-relabelled": (header(MASTER) + as_test[len(header(MASTER, "test")) :], "SealDamaged"),
        "schema-other": (flip(start - 1), "WrongContext"),
        "name-unprintable": (put(start - 1, b"\x07"), "SealDamaged"),
        "cut-in-header": (small[: start - 1], "SealDamaged"),
        "cut-after-header": (small[:start], "SealDamaged"),
        "salt-flipped": (flip(start), "SealDamaged"),
        "commitment-flipped": (flip(start + 24), "SealDamaged"),
        "commitment-flipped-at-end": (flip(start + 55), "SealDamaged"),
        "cut-after-commitment": (small[:chunks_at], "SealDamaged"),
        "body-flipped": (flip(chunks_at), "SealDamaged"),
        "tag-flipped": (flip(len(small) - 1), "SealDamaged"),
        "cut-in-tag": (small[:-1], "SealDamaged"),
        "cut-to-tag": (small[: chunks_at + TAG], "SealDamaged"),
        "trailing-byte": (small + b"\0", "SealDamaged"),
        "trailing-chunk": (large + last, "SealDamaged"),
        "trailing-zero-chunk": (large + bytes(STRIDE), "SealDamaged"),
        "chunks-swapped": (head + two + one + last, "SealDamaged"),
        "chunk-duplicated": (head + one + one + two + last, "SealDamaged"),
        "chunk-replaced-by-another-files": (head + other[:STRIDE] + two + last, "SealDamaged"),
        "chunk-dropped-first": (head + two + last, "SealDamaged"),
        "chunk-dropped-last": (head + one + two, "SealDamaged"),
        "chunk-dropped-middle": (head + one + last, "SealDamaged"),
        "cut-at-chunk": (head + one, "SealDamaged"),
    }


def split(chunks: bytes) -> list[bytes]:
    return [chunks[at : at + STRIDE] for at in range(0, len(chunks), STRIDE)]


def contents() -> dict[str, bytes]:
    """Every file of the folder."""
    made = files()
    index = {
        "master_key": MASTER.hex(),
        "digest_key": DIGEST_KEY.hex(),
        "key_id": key_id(MASTER).hex(),
        "expected": {"project": PROJECT, "role": ROLE, "schema": SCHEMA},
        "bodies": bodies(),
        "files": {name: error for name, (_, error) in made.items()},
    }
    listed = {f"{name}.bin": content for name, (content, _) in made.items()}
    return listed | {"index.json": (json.dumps(index, indent=1) + "\n").encode()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, content in contents().items():
        (FOLDER / name).write_bytes(content)
