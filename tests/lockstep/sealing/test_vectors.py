"""The golden files of tests/vectors: made by an implementation of its own, one failure each."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import re
from pathlib import Path

import pytest

from lockstep import errors
from lockstep.sealing import cobblestone
from lockstep.sealing.keys import Key
from lockstep.sealing.vault import Vault
from tests.vectors import make_sealed

FOLDER = make_sealed.FOLDER
INDEX = json.loads((FOLDER / "index.json").read_text())
GOOD = [name for name, error in INDEX["files"].items() if error is None]
BAD = [name for name, error in INDEX["files"].items() if error is not None]
EXPECTED = {"role": INDEX["expected"]["role"], "schema": INDEX["expected"]["schema"]}


def test_files_are_what_their_script_writes() -> None:
    contents = make_sealed.contents()
    assert sorted(contents) == sorted(path.name for path in FOLDER.iterdir())
    assert [name for name, content in contents.items() if (FOLDER / name).read_bytes() != content] == []


@pytest.mark.parametrize(
    "case", INDEX["bodies"], ids=lambda case: f"{case['size']}-{len(case['context']) // 2}"
)
def test_body_is_the_known_answer(case: dict[str, str]) -> None:
    key, context, salt = (
        bytes.fromhex(INDEX["master_key"]),
        bytes.fromhex(case["context"]),
        bytes.fromhex(case["salt"]),
    )
    plaintext = make_sealed.pattern(int(case["size"]))
    body = cobblestone.encrypt(key, context, plaintext, salt)
    assert body[: cobblestone.PREFIX_SIZE].hex() == case["prefix"]
    assert hashlib.sha256(body).hexdigest() == case["sha256"]
    assert cobblestone.decrypt(key, context, body) == plaintext


def test_body_agrees_with_another_library() -> None:
    library = pytest.importorskip("cryptography.cobblestone", reason="cryptography 50 has Cobblestone")
    key, plaintext = bytes.fromhex(INDEX["master_key"]), make_sealed.pattern(40_000)
    body = cobblestone.encrypt(key, b"context", plaintext, bytes(24))
    decryptor = library.Cobblestone256Decryptor(key, b"context")
    assert decryptor.update(body) + decryptor.finalize() == plaintext
    encryptor = library.Cobblestone256Encryptor(key, b"context")
    assert (
        cobblestone.decrypt(key, b"context", encryptor.update(plaintext) + encryptor.finalize()) == plaintext
    )


@pytest.mark.parametrize("name", GOOD)
def test_good_file_opens_and_is_sealed_to_the_same_bytes(name: str, vault: Vault) -> None:
    sealed = (FOLDER / f"{name}.bin").read_bytes()
    plaintext = vault.open(sealed, **EXPECTED)
    assert make_sealed.pattern(len(plaintext)) == plaintext
    assert vault.seal(plaintext, **EXPECTED) == sealed


@pytest.mark.parametrize("name", BAD)
def test_bad_file_is_refused_and_nothing_of_it_released(name: str, vault: Vault, tmp_path: Path) -> None:
    path, opened = FOLDER / f"{name}.bin", tmp_path / "opened"
    error = getattr(errors, INDEX["files"][name])
    with pytest.raises(error) as caught:
        vault.read(path, **EXPECTED)
    assert type(caught.value) is error
    assert str(path) in str(caught.value)
    with pytest.raises(error):
        vault.open_file(path, opened, **EXPECTED)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(error):
        vault.verify(path, **EXPECTED)
    with pytest.raises(error):
        vault.reader(path, **EXPECTED).read()


@pytest.mark.parametrize("name", BAD)
def test_stream_releases_only_checked_chunks(name: str, vault: Vault) -> None:
    released = io.BytesIO()
    with (FOLDER / f"{name}.bin").open("rb") as source, pytest.raises(errors.SealError):
        vault.open_stream(source, released, name=name, **EXPECTED)
    assert len(released.getvalue()) % cobblestone.CHUNK_SIZE == 0
    assert make_sealed.pattern(3 * cobblestone.CHUNK_SIZE).startswith(released.getvalue())


def test_ids_follow_from_the_key() -> None:
    assert Key(bytes.fromhex(INDEX["master_key"])).id == INDEX["key_id"]


def test_content_digest_is_the_known_answer(vault: Vault) -> None:
    key = make_sealed.expand(make_sealed.DIGEST_KEY, b"lockstep/sealing@v1 content digest", 32)
    assert vault.digest(b"content") == make_sealed.hmac.new(key, b"content", "sha256").hexdigest()


def test_worked_example_of_the_document() -> None:
    text = (Path(__file__).parents[3] / "docs" / "sealed-format.md").read_text()
    rows = re.findall(r"^ +(\d+)  ((?:[0-9a-f]{2} )*[0-9a-f]{2})(?:  |$)", text, re.MULTILINE)
    assert [int(offset) for offset, _ in rows] == [
        0,
        *itertools.accumulate(len(bytes.fromhex(content)) for _, content in rows[:-1]),
    ]
    assert bytes.fromhex("".join(content for _, content in rows)) == make_sealed.seal(b"hello\n")
    key = Key(make_sealed.MASTER)
    for value in (key.id, key.encryption.hex(), key.derive(b"synthetic salt").hex()):
        assert f"`{value}`" in text
