"""Vault and header: a file opens for what it is, and for nothing else."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from lockstep.errors import KeyMissing, LockstepError, SealDamaged, SealError, UsageError, WrongContext
from lockstep.sealing.header import MAX_SIZE, Header, parse_header, read_header
from lockstep.sealing.keyring import Keyring
from lockstep.sealing.keys import DigestKey, Key
from lockstep.sealing.vault import Vault, open_vault

from .conftest import EXPECTED

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,254}", fullmatch=True)


@hypothesis.given(NAMES, NAMES, NAMES, st.booleans(), st.binary(max_size=50))
def test_header_round_trip(project: str, role: str, schema: str, random_salt: bool, rest: bytes) -> None:
    header = Header("0123456789abcdef", project, role, schema, random_salt)
    content = header.encode()
    assert len(content) <= MAX_SIZE
    assert parse_header(content + rest) == (header, content)
    file = io.BytesIO(content + rest)
    assert read_header(file) == (header, content)
    assert file.read() == rest


@hypothesis.given(st.binary(max_size=100))
def test_any_bytes_give_a_header_or_one_of_our_errors(content: bytes) -> None:
    for start in (b"", b"\x89LSEAL\r\n", b"\x89LSEAL\r\n\x01\x01\x00\x00\x00\x00\x40\x00"):
        with contextlib.suppress(SealError):
            parse_header(start + content)


@pytest.mark.parametrize("name", ["", "-train", "tr ain", "träin", "a" * 256, "../x", "a\n"])
def test_names_that_no_header_holds(name: str) -> None:
    for names in (("p", name, "s"), ("p", "r", name), (name, "r", "s")):
        with pytest.raises(UsageError):
            Header("0" * 16, *names)
    with pytest.raises(UsageError):
        Header(name, "p", "r", "s")


def test_a_project_names_a_directory() -> None:
    with pytest.raises(UsageError, match="project id"):
        Header("0" * 16, "a/b", "r", "s")


def test_equal_contents_give_equal_files_only_under_one_key_and_context(vault: Vault, key: Key) -> None:
    sealed = vault.seal(b"content", **EXPECTED)
    assert vault.seal(b"content", **EXPECTED) == sealed
    assert vault.seal(bytearray(b"content"), **EXPECTED) == sealed
    others = [
        vault.seal(b"content", role="test", schema="table/1"),
        vault.seal(b"content", role="train", schema="table/2"),
        Vault("other", vault._keyring, key).seal(b"content", **EXPECTED),
        Vault("vectors", vault._keyring, Key(bytes(32))).seal(b"content", **EXPECTED),
        vault.seal(b"contenT", **EXPECTED),
    ]
    salts = {content[len(parse_header(content)[1]) :][:24] for content in [sealed, *others]}
    assert len(salts) == 6


def test_random_salt_hides_that_contents_are_equal(vault: Vault) -> None:
    first, second = (vault.seal(b"content", random_salt=True, **EXPECTED) for _ in range(2))
    assert first != second
    assert vault.open(first, **EXPECTED) == vault.open(second, **EXPECTED) == b"content"


def test_wrong_role_is_refused_by_name_before_the_body_is_read(vault: Vault, tmp_path: Path) -> None:
    path = tmp_path / "test.sealed"
    path.write_bytes(vault.seal(b"content", **EXPECTED)[:80])
    with pytest.raises(
        WrongContext, match=r"test\.sealed is a sealed 'train' \(table/1\), 'test' \(table/1\) was exp"
    ):
        vault.read(path, role="test", schema="table/1")
    with pytest.raises(WrongContext, match="'train'"):
        vault.read(path, role="train", schema="table/2")


def test_another_project_is_refused_by_name(vault: Vault, key: Key) -> None:
    sealed = Vault("other", vault._keyring, key).seal(b"content", **EXPECTED)
    with pytest.raises(WrongContext, match="'other', and this is 'vectors'"):
        vault.open(sealed, **EXPECTED)


def test_none_takes_any_role(vault: Vault) -> None:
    assert (
        vault.open(vault.seal(b"content", role="model", schema="litert/1"), role=None, schema=None)
        == b"content"
    )


def test_opens_with_every_key_of_the_keyring(vault: Vault, key: Key) -> None:
    new, digest_key = Key(bytes(32)), DigestKey(bytes(32))
    rotated = Vault("vectors", Keyring({key.id: key, new.id: new}, new.id, digest_key, "both"), new)
    sealed = vault.seal(b"content", **EXPECTED)
    assert rotated.open(sealed, **EXPECTED) == b"content"
    with pytest.raises(KeyMissing, match=rf"{new.id}.*keys import"):
        vault.open(rotated.seal(b"content", **EXPECTED), **EXPECTED)


def test_digest_is_the_same_under_every_key(vault: Vault) -> None:
    new = Key(bytes(32))
    rotated = Vault("vectors", Keyring({new.id: new}, new.id, DigestKey(bytes(range(32, 64))), "new"), new)
    foreign = Vault("vectors", Keyring({new.id: new}, new.id, DigestKey(bytes(32)), "foreign"), new)
    assert vault.digest(b"model") == rotated.digest(b"model") != foreign.digest(b"model")


def test_missing_file_tells_how_to_make_it(vault: Vault, tmp_path: Path) -> None:
    for open_ in (vault.read, vault.reader, vault.verify):
        with pytest.raises(LockstepError, match=r"absent does not exist\. Make it with `dvc repro`"):
            open_(tmp_path / "absent", **EXPECTED)


def test_write_leaves_one_file(vault: Vault, tmp_path: Path) -> None:
    vault.write(tmp_path / "made" / "x.sealed", b"content", **EXPECTED)
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["x.sealed"]
    assert vault.read(tmp_path / "made" / "x.sealed", **EXPECTED) == b"content"


def test_damage_names_the_file_and_the_remedy(vault: Vault, tmp_path: Path) -> None:
    path = tmp_path / "x.sealed"
    path.write_bytes(vault.seal(b"content", **EXPECTED)[:-1])
    with pytest.raises(SealDamaged, match=r"x\.sealed cannot be opened: .*lockstep fsck --repair"):
        vault.read(path, **EXPECTED)


def test_open_vault_seals_with_the_key_that_the_file_names(tmp_path: Path, keyring_file: Path) -> None:
    from lockstep.sealing.keyring import save_keyring, set_up_keys

    set_up_keys("demo", tmp_path / "key-id")
    old = (tmp_path / "key-id").read_text().strip()
    keyring, new = open_vault("demo", None)._keyring, Key.generate()
    rotated = Keyring(keyring.keys | {new.id: new}, new.id, keyring.digest_key, keyring.source)
    save_keyring(rotated, keyring_file)
    sealed = open_vault("demo", tmp_path / "key-id").seal(b"content", **EXPECTED)
    assert parse_header(sealed)[0].key_id == old
    assert parse_header(open_vault("demo", None).seal(b"", **EXPECTED))[0].key_id == new.id
    (tmp_path / "key-id").write_text("0" * 16)
    with pytest.raises(KeyMissing, match=r"0{16}, named by .*key-id"):
        open_vault("demo", tmp_path / "key-id")


@pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 5, 3 << 20])
def test_a_writer_seals_the_bytes_of_seal_however_they_come(vault: Vault, size: int, tmp_path: Path) -> None:
    content = bytes(range(256)) * (size // 256) + bytes(size % 256)
    with vault.writer(tmp_path / "f", role="table", schema="table/1") as file:
        for at in range(0, size, 300_001):
            file.write(content[at : at + 300_001])
        assert file.tell() == size
    assert (tmp_path / "f").read_bytes() == vault.seal(content, role="table", schema="table/1")


def test_a_writer_that_fails_leaves_what_was_there(vault: Vault, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"old")

    def fail() -> None:
        with vault.writer(tmp_path / "f", role="table", schema="table/1") as file:
            file.write(b"secret" * 1000)
            raise OSError("no more")

    with pytest.raises(OSError, match="no more"):
        fail()
    assert (tmp_path / "f").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]
