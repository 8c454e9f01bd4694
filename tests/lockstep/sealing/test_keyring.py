"""The keyring: for its owner alone, never overwritten, never shown."""

from __future__ import annotations

import copy
import json
import multiprocessing
import pickle
import stat
from pathlib import Path

import pytest

from lockstep.errors import KeyMissing, KeyringError
from lockstep.sealing._workers import Job
from lockstep.sealing.cobblestone import Message
from lockstep.sealing.keyring import (
    Keyring,
    import_keys,
    keyring_path,
    open_keyring,
    read_key_id,
    save_keyring,
    set_up_keys,
)
from lockstep.sealing.keys import DigestKey, Key, from_token, to_token
from lockstep.sealing.vault import open_vault
from lockstep.sealing.wrapping import unwrap, wrap

from .conftest import EXPECTED

PASSPHRASE = "correct horse battery"


@pytest.fixture(autouse=True)
def _cheap_scrypt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockstep.sealing.wrapping._COST", {"n": 2**10, "r": 8, "p": 1})


def secrets_of(keyring: Keyring) -> list[str]:
    document = json.loads(keyring.to_json())
    texts = [document["digest_key"], *(entry["key"] for entry in document["keys"])]
    raw = [keyring.digest_key.reveal(), *(key.reveal() for key in keyring.keys.values())]
    return texts + [content.hex() for content in raw] + [str(content) for content in raw]


def test_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LOCKSTEP_KEYRING")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", "/home/someone")
    assert keyring_path("demo") == Path("/home/someone/.config/lockstep/demo/keyring.json")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert keyring_path("demo") == tmp_path / "lockstep" / "demo" / "keyring.json"
    for project in ("", "..", "a/b", "-x", "a b"):
        with pytest.raises(KeyringError, match=r"params\.yaml"):
            keyring_path(project)
    monkeypatch.setenv("LOCKSTEP_KEYRING", "~/k.json")
    assert keyring_path("a b") == Path("/home/someone/k.json")


def test_set_up_makes_a_keyring_once(keyring_file: Path, tmp_path: Path) -> None:
    key_id = tmp_path / "project" / "lockstep.key-id"
    first = set_up_keys("demo", key_id)
    assert (first.created, first.keyring) == (True, str(keyring_file))
    assert key_id.read_text() == first.key_id + "\n"
    assert stat.S_IMODE(keyring_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(keyring_file.parent.stat().st_mode) == 0o700
    content = keyring_file.read_bytes()
    second = set_up_keys("demo", key_id)
    assert (second.created, second.key_id) == (False, first.key_id)
    assert keyring_file.read_bytes() == content


def test_another_clone_uses_the_same_keyring(keyring_file: Path, tmp_path: Path) -> None:
    first = set_up_keys("demo", tmp_path / "a")
    second = set_up_keys("demo", tmp_path / "b")
    assert (second.created, second.key_id) == (False, first.key_id)
    one, two = open_vault("demo", tmp_path / "a"), open_vault("demo", tmp_path / "b")
    assert one.seal(b"content", **EXPECTED) == two.seal(b"content", **EXPECTED)


def test_no_keyring_is_made_where_the_workspace_names_a_key(keyring_file: Path, tmp_path: Path) -> None:
    (tmp_path / "key-id").write_text("0123456789abcdef\n")
    with pytest.raises(KeyMissing, match=r"0123456789abcdef, named by .*key-id, .*keys import"):
        set_up_keys("demo", tmp_path / "key-id")
    assert not keyring_file.exists()


def test_a_named_key_that_the_keyring_lacks(keyring_file: Path, tmp_path: Path) -> None:
    set_up_keys("demo", tmp_path / "a")
    (tmp_path / "b").write_text("0123456789abcdef\n")
    with pytest.raises(KeyMissing, match="0123456789abcdef"):
        set_up_keys("demo", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "0123456789abcdef\n"


def _set_up(folder: str, number: int) -> str:
    return set_up_keys("demo", Path(folder) / f"id-{number}").key_id


def test_processes_that_set_up_at_once_agree(keyring_file: Path, tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        ids = pool.starmap(_set_up, [(str(tmp_path), number) for number in range(6)])
    assert len(set(ids)) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o700, 0o601])
def test_a_keyring_that_others_may_use_is_refused(keyring_file: Path, tmp_path: Path, mode: int) -> None:
    set_up_keys("demo", tmp_path / "id")
    keyring_file.chmod(mode)
    with pytest.raises(KeyringError, match=rf"mode {mode:o}.*chmod 600"):
        open_keyring("demo")
    keyring_file.chmod(0o400)
    open_keyring("demo")


def test_missing_keyring_tells_both_remedies(keyring_file: Path) -> None:
    with pytest.raises(KeyringError, match=r"does not exist\. .*keys import.*keys new"):
        open_keyring("demo")


def test_damaged_keyring(keyring_file: Path) -> None:
    keyring = Keyring.generate("k")
    document = json.loads(keyring.to_json())
    other = Key.generate()
    damaged = [
        b"",
        b"[]",
        b"\xff",
        keyring.to_json()[:-10],
        json.dumps(document | {"format": "lockstep-keyring/9"}).encode(),
        json.dumps(document | {"active": "0" * 16}).encode(),
        json.dumps(document | {"digest_key": "AAAA"}).encode(),
        json.dumps(document | {"keys": [{"id": other.id, "key": document["keys"][0]["key"]}]}).encode(),
        json.dumps(document | {"keys": [{"id": keyring.active, "key": "?"}]}).encode(),
        json.dumps(document | {"keys": [{"id": keyring.active}]}).encode(),
    ]
    keyring_file.parent.mkdir()
    for content in damaged:
        keyring_file.write_bytes(content)
        keyring_file.chmod(0o600)
        with pytest.raises(KeyringError) as caught:
            open_keyring("demo")
        assert not any(secret in str(caught.value) for secret in secrets_of(keyring))


@pytest.mark.parametrize("content", ["", "xyz", "0123456789ABCDEF", "0123456789abcdef0", "schlüssel"])
def test_malformed_key_id_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "id").write_text(content, encoding="utf-8")
    with pytest.raises(KeyringError, match="16 hexadecimal digits"):
        read_key_id(tmp_path / "id")
    with pytest.raises(KeyringError, match="keys new"):
        read_key_id(tmp_path / "absent")


def test_keys_show_up_nowhere() -> None:
    keyring = Keyring.generate("k")
    key = keyring.keys[keyring.active]
    shown = " ".join(map(repr, (keyring, key, keyring.digest_key, vars(keyring)))) + str(keyring) + f"{key}"
    assert keyring.active in shown
    assert not any(secret in shown for secret in secrets_of(keyring))
    for secret in (key, keyring.digest_key, keyring):
        with pytest.raises(TypeError, match="not pickled"):
            pickle.dumps(secret)
        with pytest.raises(TypeError, match="not pickled"):
            copy.deepcopy(secret)


def test_derived_keys_differ() -> None:
    key = Key(bytes(32))
    derived = {key.encryption, key.derive(b"synthetic salt"), key.derive(b"key id"), key.reveal()}
    assert len(derived) == 4


def test_token_round_trip() -> None:
    keyring = Keyring.generate("k")
    token = to_token(keyring.keys[keyring.active], keyring.digest_key)
    key, digest_key = from_token(token)
    assert (key.id, digest_key.digest(b"x")) == (keyring.active, keyring.digest(b"x"))
    changed = token[:30] + ("A" if token[30] != "A" else "B") + token[31:]
    for wrong in (
        "",
        "lockstep-key-1-",
        token[:-1],
        token + "A",
        token.removeprefix("lockstep"),
        changed,
        "ü",
    ):
        with pytest.raises(KeyringError, match="LOCKSTEP_KEY") as caught:
            from_token(wrong)
        assert token[20:60] not in str(caught.value)


def test_lockstep_key_carries_a_key(
    keyring_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up_keys("demo", tmp_path / "id")
    keyring, sealed = open_keyring("demo"), open_vault("demo", tmp_path / "id").seal(b"content", **EXPECTED)
    monkeypatch.setenv("LOCKSTEP_KEY", to_token(keyring.keys[keyring.active], keyring.digest_key) + "\n")
    keyring_file.unlink()
    vault = open_vault("demo", tmp_path / "id")
    assert vault.open(sealed, **EXPECTED) == b"content"
    assert vault.digest(b"x") == keyring.digest(b"x")
    done = set_up_keys("demo", tmp_path / "new")
    assert (done.created, done.keyring, done.key_id) == (False, "LOCKSTEP_KEY", keyring.active)
    assert not keyring_file.exists()
    (tmp_path / "id").write_text("0" * 16)
    with pytest.raises(KeyMissing, match="LOCKSTEP_KEY"):
        open_vault("demo", tmp_path / "id")


def test_export_and_import(keyring_file: Path, tmp_path: Path) -> None:
    set_up_keys("demo", tmp_path / "id")
    keyring = open_keyring("demo")
    exported = wrap(keyring, PASSPHRASE)
    assert not any(secret.encode() in exported for secret in secrets_of(keyring))
    keyring_file.unlink()
    imported = import_keys("demo", unwrap(exported, PASSPHRASE, "file"))
    assert imported.to_json() == keyring.to_json()
    assert imported.source == str(keyring_file)
    assert stat.S_IMODE(keyring_file.stat().st_mode) == 0o600


def test_wrapping_is_never_the_same_twice() -> None:
    keyring = Keyring.generate("k")
    assert wrap(keyring, PASSPHRASE) != wrap(keyring, PASSPHRASE)


def test_wrong_passphrase_or_damaged_export() -> None:
    keyring = Keyring.generate("k")
    exported = wrap(keyring, PASSPHRASE)
    document = json.loads(exported)
    with pytest.raises(KeyringError, match="another passphrase"):
        unwrap(exported, PASSPHRASE + "x", "file")
    for change in (
        {"salt": "0" * 48},
        {"body": document["body"][:-8] + "AAAAAAA="},
        {"scrypt": {"n": 3, "r": 8, "p": 1}},
    ):
        with pytest.raises(KeyringError, match=r"another passphrase|damaged"):
            unwrap(json.dumps(document | change).encode(), PASSPHRASE, "file")
    for content in (b"", b"[]", b"{}", exported[:-9], json.dumps(document | {"format": "x"}).encode()):
        with pytest.raises(KeyringError, match="file is no exported keyring"):
            unwrap(content, PASSPHRASE, "file")
    greedy = json.dumps(document | {"scrypt": {"n": 2**30, "r": 8, "p": 1}}).encode()
    with pytest.raises(KeyringError, match="more memory"):
        unwrap(greedy, PASSPHRASE, "file")


def test_a_short_passphrase_is_refused() -> None:
    with pytest.raises(KeyringError, match="12 characters"):
        wrap(Keyring.generate("k"), "short")


def test_import_adds_keys_and_takes_over_a_new_active_one(keyring_file: Path) -> None:
    keyring = Keyring.generate(str(keyring_file))
    save_keyring(keyring, keyring_file)
    new = Key.generate()
    rotated = Keyring(keyring.keys | {new.id: new}, new.id, keyring.digest_key, "file")
    assert (import_keys("demo", rotated).active, list(open_keyring("demo").keys)) == (
        new.id,
        [keyring.active, new.id],
    )
    assert import_keys("demo", keyring).active == new.id
    assert list(open_keyring("demo").keys) == [keyring.active, new.id]


def test_import_of_another_projects_keys_is_refused(keyring_file: Path) -> None:
    save_keyring(Keyring.generate("k"), keyring_file)
    content = keyring_file.read_bytes()
    with pytest.raises(KeyringError, match="another project's keys"):
        import_keys("demo", Keyring.generate("file"))
    assert keyring_file.read_bytes() == content


def test_digest_is_keyed() -> None:
    one, two = DigestKey.generate(), DigestKey.generate()
    assert one.digest(b"x") == one.digest(bytearray(b"x")) != two.digest(b"x")
    assert len(one.digest(b"")) == 64


def test_a_keyring_that_others_may_replace_is_refused(keyring_file: Path, tmp_path: Path) -> None:
    set_up_keys("demo", tmp_path / "key-id")
    keyring_file.parent.chmod(0o777)
    with pytest.raises(KeyringError, match=r"mode 777.*chmod go-w"):
        open_keyring("demo")
    # As of a directory of temporary files, where nobody replaces another's.
    keyring_file.parent.chmod(0o1777)
    open_keyring("demo")


def test_a_directory_is_no_keyring(keyring_file: Path) -> None:
    keyring_file.mkdir(parents=True)
    with pytest.raises(KeyringError, match="is no file"):
        open_keyring("demo")


@pytest.mark.parametrize("active", ["key", [], None, 7])
def test_what_stands_in_place_of_an_id_is_not_shown(
    keyring_file: Path, tmp_path: Path, active: object
) -> None:
    set_up_keys("demo", tmp_path / "key-id")
    document = json.loads(keyring_file.read_text())
    secret = document["keys"][0]["key"]
    document["active"] = secret if active == "key" else active
    keyring_file.write_text(json.dumps(document))
    with pytest.raises(KeyringError, match="no keyring, or was damaged") as caught:
        open_keyring("demo")
    assert secret not in str(caught.value)


def test_deep_nesting_is_no_keyring(keyring_file: Path) -> None:
    with pytest.raises(KeyringError, match="no keyring, or was damaged"):
        Keyring.from_json(b"[" * 100_000, "it")


def test_a_link_to_a_keyring_stays_one(
    keyring_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up_keys("demo", tmp_path / "key-id")
    link = tmp_path / "link.json"
    link.symlink_to(keyring_file)
    monkeypatch.setenv("LOCKSTEP_KEYRING", str(link))
    keyring = open_keyring("demo")
    save_keyring(keyring, keyring_path("demo"))
    assert link.is_symlink()
    assert open_keyring("demo").keys.keys() == keyring.keys.keys()


@pytest.mark.parametrize(
    "holder",
    [
        Message(bytes(32), b"", bytes(24)),
        Job(False, bytes(32), b"", b"", 0, 0, 0, 0, 0),
        Key.generate(),
    ],
    ids=lambda holder: type(holder).__name__,
)
def test_what_holds_a_key_is_not_pickled(holder: object) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(holder)
