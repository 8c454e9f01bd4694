"""The body: damage anywhere is seen."""

from __future__ import annotations

import itertools
import os

import hypothesis
import pytest
from hypothesis import strategies as st

from lockstep.errors import SealDamaged
from lockstep.sealing.cobblestone import (
    CHUNK_SIZE,
    MAX_CHUNKS,
    PREFIX_SIZE,
    SEALED_CHUNK_SIZE,
    TAG_SIZE,
    Message,
    body_size,
    decrypt,
    encrypt,
    hkdf_expand,
    plaintext_size,
)

KEY, CONTEXT, SALT = bytes(range(32)), b"context", bytes(24)
PLAINTEXT = os.urandom(3 * CHUNK_SIZE + 100)
BODY = encrypt(KEY, CONTEXT, PLAINTEXT, SALT)


def refused(body: bytes, key: bytes = KEY, context: bytes = CONTEXT) -> bool:
    try:
        decrypt(key, context, body)
    except SealDamaged:
        return True
    return False


def flipped(at: int, mask: int = 1) -> bytes:
    body = bytearray(BODY)
    body[at] ^= mask
    return bytes(body)


def test_hkdf_expand_is_rfc_5869() -> None:
    hashes = pytest.importorskip("cryptography.hazmat.primitives.hashes")
    kdf = pytest.importorskip("cryptography.hazmat.primitives.kdf.hkdf")
    for size in (1, 64, 76, 200):
        assert hkdf_expand(KEY, b"info", size) == kdf.HKDFExpand(hashes.SHA512(), size, b"info").derive(KEY)


@hypothesis.given(st.binary(max_size=100), st.integers(0, 70_000), st.binary(min_size=24, max_size=24))
def test_round_trip(context: bytes, size: int, salt: bytes) -> None:
    plaintext = PLAINTEXT[:size]
    body = encrypt(KEY, context, plaintext, salt)
    assert len(body) == body_size(len(plaintext))
    assert plaintext_size(len(body)) == len(plaintext)
    assert decrypt(KEY, context, body) == plaintext


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_takes_every_buffer(kind: type) -> None:
    assert encrypt(KEY, CONTEXT, kind(PLAINTEXT), SALT) == BODY
    assert decrypt(KEY, CONTEXT, kind(BODY)) == PLAINTEXT


@pytest.mark.parametrize(("key", "salt"), [(bytes(16), SALT), (KEY, bytes(16)), (b"", SALT)])
def test_wrong_sizes_of_key_and_salt(key: bytes, salt: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        encrypt(key, CONTEXT, b"", salt)


def test_wrong_key_and_context() -> None:
    assert refused(BODY, key=bytes(32))
    assert refused(BODY, context=b"contexT")
    assert refused(BODY, context=CONTEXT + b"\0")


def test_a_flipped_bit_is_seen_at_every_edge() -> None:
    edges = [0, PREFIX_SIZE, len(BODY), *(PREFIX_SIZE + k * SEALED_CHUNK_SIZE + CHUNK_SIZE for k in range(3))]
    edges += [PREFIX_SIZE + k * SEALED_CHUNK_SIZE for k in range(1, 4)]
    places = {at for edge in edges for at in range(edge - 2, edge + 2) if 0 <= at < len(BODY)}
    assert [at for at in sorted(places | set(range(PREFIX_SIZE))) if not refused(flipped(at))] == []


@hypothesis.given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_a_changed_byte_is_seen_anywhere(at: int, mask: int) -> None:
    assert refused(flipped(at, mask))


@hypothesis.given(st.integers(0, len(BODY) - 1))
def test_truncation_is_seen(size: int) -> None:
    assert refused(BODY[:size])


def test_truncation_is_seen_around_every_chunk() -> None:
    ends = [PREFIX_SIZE + k * SEALED_CHUNK_SIZE for k in range(4)]
    assert [size for end in ends for size in range(end - 20, end + 20) if not refused(BODY[:size])] == []


def test_permuted_chunks_are_seen() -> None:
    starts = range(PREFIX_SIZE, len(BODY), SEALED_CHUNK_SIZE)
    chunks = [BODY[start : start + SEALED_CHUNK_SIZE] for start in starts]
    for order in itertools.chain(itertools.permutations(range(4)), itertools.product(range(4), repeat=4)):
        body = BODY[:PREFIX_SIZE] + b"".join(chunks[number] for number in order)
        assert refused(body) != (list(order) == [0, 1, 2, 3])


@pytest.mark.faults
@pytest.mark.slow
def test_every_flipped_byte_and_every_truncation() -> None:
    # Opening the chunks before the damage again and again would take hours, so each is damaged alone.
    output = bytearray(CHUNK_SIZE)
    message = Message.resume(KEY, CONTEXT, BODY[:PREFIX_SIZE])
    for number in range(4):
        start = PREFIX_SIZE + number * SEALED_CHUNK_SIZE
        chunk, final = BODY[start : start + SEALED_CHUNK_SIZE], number == 3
        for at in range(len(chunk)):
            damaged = bytearray(chunk)
            damaged[at] ^= 1
            with pytest.raises(SealDamaged):
                message.open_into(output, damaged, number, final=final)
            with pytest.raises(SealDamaged):
                message.open_into(output, chunk[:at], number, final=True)


def test_chunk_counter_ends() -> None:
    message = Message(KEY, CONTEXT, SALT)
    last = MAX_CHUNKS - 1
    sealed, opened = bytearray(3 + TAG_SIZE), bytearray(3)
    assert message.seal_into(sealed, b"end", last) == len(sealed)
    assert message.open_into(opened, sealed, last) == 3
    assert opened == b"end"
    for number in (MAX_CHUNKS, -1):
        with pytest.raises(SealDamaged, match="longer than any message"):
            message.seal_into(sealed, b"end", number)
        with pytest.raises(SealDamaged, match="longer than any message"):
            message.open_into(opened, sealed, number)
    with pytest.raises(SealDamaged, match="longer than any message"):
        plaintext_size(body_size(MAX_CHUNKS * CHUNK_SIZE))
    assert plaintext_size(body_size(MAX_CHUNKS * CHUNK_SIZE - 1)) == MAX_CHUNKS * CHUNK_SIZE - 1


def test_only_a_final_run_may_end_within_a_chunk() -> None:
    message = Message(KEY, CONTEXT, SALT)
    with pytest.raises(ValueError, match="whole number"):
        message.seal_into(bytearray(20), b"part", final=False)
    with pytest.raises(SealDamaged):
        message.open_into(bytearray(CHUNK_SIZE), bytes(CHUNK_SIZE + TAG_SIZE), final=True)


def test_the_key_is_in_no_repr() -> None:
    message = Message(KEY, CONTEXT, SALT)
    assert not hasattr(message, "__dict__")
    assert KEY.hex() not in repr(message)


def test_large_buffers_are_filled() -> None:
    plaintext = os.urandom(5_000_000)
    body = encrypt(KEY, CONTEXT, plaintext, SALT)
    assert decrypt(KEY, CONTEXT, body) == plaintext
    assert refused(body[:-1])
