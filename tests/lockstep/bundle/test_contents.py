"""A bundle on disk is sealed, and opens only as what it was."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lockstep.bundle.contents import ENCODER, MANIFEST, MODEL, read_bundle, write_bundle
from lockstep.bundle.digest import content_digest
from lockstep.errors import RegistryError, SealError
from tests.lockstep.bundle.candidate import STATES, bundle, other_bundle, vault


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write_bundle(tmp_path, bundle(version="1"), vault())
    return tmp_path


def test_it_reads_back_what_was_written(directory: Path) -> None:
    again, original = read_bundle(directory), bundle(version="1")
    assert (again.encoder, again.model) == (original.encoder, original.model)
    assert again.manifest.columns == original.manifest.columns
    assert again.manifest.version == "1"


def test_nothing_of_the_vocabulary_lies_in_clear(directory: Path) -> None:
    for path in directory.iterdir():
        content = path.read_bytes()
        assert not any(state.encode() in content for state in STATES), path.name


def test_two_bundles_of_one_candidate_show_no_likeness(directory: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    write_bundle(second, bundle(version="1"), vault())
    for name in (ENCODER, MODEL):
        assert (directory / name).read_bytes() != (second / name).read_bytes()
    assert read_bundle(directory).manifest.candidate == read_bundle(second).manifest.candidate


@pytest.mark.parametrize("name", [ENCODER, MODEL])
@pytest.mark.parametrize("damage", [lambda c: c[:-1], lambda c: c[:-1] + bytes([c[-1] ^ 1]), lambda c: b""])
def test_an_altered_file_is_named(directory: Path, name: str, damage: object) -> None:
    path = directory / name
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.raises(RegistryError, match=name):
        read_bundle(directory)


def test_an_altered_file_with_a_new_hash_does_not_open(directory: Path) -> None:
    import hashlib

    content = bytearray((directory / MODEL).read_bytes())
    content[-1] ^= 1
    (directory / MODEL).write_bytes(content)
    manifest = json.loads((directory / MANIFEST).read_bytes())
    manifest["files"][MODEL] = hashlib.sha256(content).hexdigest()
    (directory / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(SealError):
        read_bundle(directory)


def test_files_of_another_candidate_are_refused(directory: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    foreign = other_bundle()
    write_bundle(other, replace(foreign, manifest=replace(foreign.manifest, candidate="00" * 32)), vault())
    with pytest.raises(RegistryError, match="another model"):
        read_bundle(other)


@pytest.mark.parametrize("name", [MANIFEST, ENCODER, MODEL])
def test_a_missing_file_is_an_error(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(RegistryError, match="lockstep deploy"):
        read_bundle(directory)


def test_the_digest_tells_the_parts_apart() -> None:
    opened = vault()
    assert content_digest(opened, b"ab", b"c") != content_digest(opened, b"a", b"bc")
    assert content_digest(opened, b"ab", b"c") == content_digest(opened, b"ab", b"c")


def test_a_bundle_shows_none_of_its_bytes() -> None:
    assert not any(state in repr(bundle()) for state in STATES)
