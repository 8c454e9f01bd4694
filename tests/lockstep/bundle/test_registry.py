"""The registry: whole versions, one champion, whatever happens on the way."""

import json
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from lockstep.bundle.contents import MODEL, Bundle, read_bundle
from lockstep.bundle.registry import Registry, registry_root
from lockstep.errors import NotPromoted, RegistryError
from tests.conftest import ROOT
from tests.lockstep.bundle.candidate import accept, bundle, other_bundle, publish, published, vault


def _tree(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def _refuse(directory: Path) -> None:
    raise NotPromoted("no")


def test_the_first_bundle_becomes_version_1_and_champion(tmp_path: Path) -> None:
    registry = published(tmp_path)
    assert registry.versions() == ["1"]
    assert registry.champion() == "1"
    assert registry.load_champion().manifest.version == "1"


def test_the_check_sees_a_whole_bundle_before_it_has_a_version(tmp_path: Path) -> None:
    registry, seen = Registry(tmp_path, "income"), []

    def check(directory: Path) -> None:
        seen.append((read_bundle(directory).manifest.version, registry.versions()))

    publish(registry, bundle(), check)
    assert seen == [("1", [])]


def test_deploying_the_champion_again_changes_nothing(tmp_path: Path) -> None:
    registry = published(tmp_path)
    before = _tree(tmp_path)
    promotion = publish(registry, bundle())
    assert (promotion.how, promotion.version) == ("unchanged", "1")
    assert _tree(tmp_path) == before


def test_an_older_version_is_promoted_again_and_not_duplicated(tmp_path: Path) -> None:
    registry = published(tmp_path)
    assert publish(registry, other_bundle()).version == "2"
    promotion = publish(registry, bundle())
    assert (promotion.how, promotion.version) == ("again", "1")
    assert registry.versions() == ["1", "2"]
    assert registry.champion() == "1"


def test_the_same_model_with_another_threshold_is_another_version(tmp_path: Path) -> None:
    registry = published(tmp_path)
    promotion = publish(registry, bundle(threshold=0.25))
    assert (promotion.how, promotion.version) == ("new", "2")


def test_a_refused_bundle_leaves_the_registry_as_it_was(tmp_path: Path) -> None:
    registry = published(tmp_path)
    before = _tree(tmp_path)
    with pytest.raises(NotPromoted):
        publish(registry, other_bundle(), _refuse)
    assert _tree(tmp_path) == before


def test_a_bundle_that_was_judged_against_another_champion_is_refused(tmp_path: Path) -> None:
    registry = Registry(tmp_path, "income")
    for judged_against in (None, b"{}"):
        published(tmp_path)
        before = _tree(tmp_path)
        with pytest.raises(NotPromoted, match="was deployed while this candidate was judged"):
            registry.publish(other_bundle(), vault(), accept, judged_against)
        assert _tree(tmp_path) == before


def test_a_model_beside_another_champion_is_another_version(tmp_path: Path) -> None:
    registry = published(tmp_path)
    comparison = {"champion": "of old", "version": "1", "gates": []}
    assert publish(registry, bundle(comparison=comparison)).version == "2"
    # The same champion may have been promoted as several versions.
    assert publish(registry, bundle(comparison={**comparison, "version": "7"})).how == "unchanged"
    assert publish(registry, bundle(comparison={**comparison, "champion": "another"})).version == "3"


def test_a_damaged_version_is_passed_over(tmp_path: Path) -> None:
    registry = published(tmp_path)
    (registry.directory("1") / MODEL).write_bytes(b"rotten")

    def check(directory: Path) -> None:
        read_bundle(directory)

    promotion = publish(registry, bundle(), check)
    assert (promotion.how, promotion.version) == ("new", "2")
    assert registry.load_champion().manifest.version == "2"


def test_a_damaged_pointer_is_named_and_replaced(tmp_path: Path) -> None:
    registry = published(tmp_path)
    pointer = tmp_path / "income" / "champion.json"
    for content in ("", "[]", '{"version": 1}', '{"version": "../1"}'):
        pointer.write_text(content)
        with pytest.raises(RegistryError, match=r"champion\.json is damaged"):
            registry.champion()
    assert publish(registry, bundle()).version == "1"
    assert json.loads(pointer.read_text()) == {"version": "1", "candidate": bundle().manifest.candidate}


def test_versions_count_as_numbers(tmp_path: Path) -> None:
    registry = published(tmp_path)
    for version in ("2", "9", "10"):
        shutil.copytree(registry.directory("1"), registry.directory(version))
    assert registry.versions() == ["1", "2", "9", "10"]
    assert publish(registry, other_bundle()).version == "11"


def test_nothing_deployed_names_place_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match=f"{tmp_path}/none.*lockstep run.*LOCKSTEP_REGISTRY"):
        Registry.find(tmp_path / "none", None)
    with pytest.raises(RegistryError, match=r"'income'.*lockstep run"):
        Registry.find(tmp_path, "income").champion()


def test_the_only_model_needs_no_name(tmp_path: Path) -> None:
    published(tmp_path)
    assert Registry.find(tmp_path, None).name == "income"
    (tmp_path / "other").mkdir()
    shutil.copy(tmp_path / "income" / "champion.json", tmp_path / "other")
    with pytest.raises(RegistryError, match=r"income, other.*--name"):
        Registry.find(tmp_path, None)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", ".hidden", "a b", "a\n", "é"])
def test_a_name_that_is_no_path_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RegistryError, match="name"):
        Registry(tmp_path, name)


def test_the_environment_names_another_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    assert registry_root(Path("registry")) == Path("registry")
    monkeypatch.setenv("LOCKSTEP_REGISTRY", "/elsewhere")
    assert registry_root(Path("registry")) == Path("/elsewhere")


def test_deploys_side_by_side_give_each_a_whole_version(tmp_path: Path) -> None:
    thresholds, opened = (0.1, 0.2, 0.3, 0.4), vault()
    bundles = [bundle(threshold=threshold) for threshold in thresholds]
    # flock(2) belongs to the open file: it holds threads apart as it holds processes apart.

    def deploy(deployed: Bundle) -> None:
        registry = Registry(tmp_path, "income")
        while True:
            pointer = registry.pointer()
            with suppress(NotPromoted):
                registry.publish(deployed, opened, accept, pointer)
                return

    threads = [threading.Thread(target=deploy, args=[one]) for one in bundles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    registry = Registry(tmp_path, "income")
    assert registry.versions() == ["1", "2", "3", "4"]
    found = {read_bundle(registry.directory(version)).manifest.threshold for version in registry.versions()}
    assert found == set(thresholds)
    assert registry.champion() in registry.versions()


def test_a_kill_at_any_point_leaves_a_whole_champion(tmp_path: Path) -> None:
    first, scratch = tmp_path / "first", tmp_path / "killed"
    published(first)
    parts = {"encoder": bundle().encoder, "model": bundle().model}
    for name, content in parts.items():
        (tmp_path / name).write_bytes(content)
    program = [sys.executable, "-W", "ignore", "-m", "tests.lockstep.bundle._killed"]
    subprocess.run([*program, first, scratch, *(tmp_path / name for name in parts)], cwd=ROOT, check=True)
    *killed, last = sorted(scratch.iterdir(), key=lambda path: int(path.name))
    champions = [Registry(root, "income").load_champion().manifest for root in killed]
    assert len(killed) > 10
    # A kill between the pointer's rename and the directory's sync has promoted the whole new one.
    assert [champion.version for champion in champions[:-1]] == ["1"] * (len(killed) - 1)
    assert Registry(last, "income").load_champion().manifest.threshold == 0.25
    for root in killed:
        registry = Registry(root, "income")
        for version in registry.versions():
            read_bundle(registry.directory(version))
        # The next deploy finishes the work and leaves nothing of the killed one.
        published(root, bundle(threshold=0.25))
        assert registry.versions() == ["1", "2"]
        assert registry.load_champion().manifest.threshold == 0.25
        assert not list(root.rglob(".staging*"))
