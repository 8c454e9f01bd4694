"""What a key opens: what its destruction costs, and what a rotation leaves under it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from flows._cache import Output, Store
from lockstep.bundle.registry import Registry
from lockstep.errors import RegistryError, SealError
from lockstep.sealing.header import read_header


@dataclass
class Cost:
    """What becomes unreadable with a key.

    Attributes
    ----------
    workspace
        Outputs of the workspace.
    others
        Other files of the workspace: predictions, files sealed by hand, what was set aside.
    unreadable
        Files of the workspace that could not be looked into.
    current, older
        How many objects of DVC's cache, those that dvc.lock names and the others.
    bundles
        Versions of the registry, as NAME/VERSION.
    champions
        Those among them that are served.
    """

    workspace: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    current: int = 0
    older: int = 0
    bundles: list[str] = field(default_factory=list)
    champions: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """One line for each place."""
        bundles = [name + (" (served)" if name in self.champions else "") for name in self.bundles]
        unknown = (
            [f"not known, as they cannot be read: {', '.join(self.unreadable)}"] if self.unreadable else []
        )
        return [
            f"outputs in the workspace: {', '.join(self.workspace) or 'nothing'}",
            f"other files in the workspace: {', '.join(self.others) or 'nothing'}",
            *unknown,
            f"DVC cache: {self.current} objects that dvc.lock names, {self.older} of older versions",
            f"registry: {', '.join(bundles) or 'nothing'}",
        ]


def cost(store: Store, registry: Path, key_id: str) -> Cost:
    """Look which stored files a key opens, by their headers."""
    result = Cost()
    outputs = store.outputs()
    current = {md5 for output in outputs for md5 in (output.md5, *store.recorded(output).values())}
    for name in _workspace(store, registry):
        try:
            if _key_of(store.root / name) == key_id:
                (result.workspace if _is_output(name, outputs) else result.others).append(name)
        except OSError:
            result.unreadable.append(name)
    for md5, path in store.objects().items():
        if _key_of(path) == key_id:
            if md5 in current:
                result.current += 1
            else:
                result.older += 1
    for home in sorted(registry.glob("[!.]*/")):
        _add_bundles(result, Registry(registry, home.name), key_id)
    return result


def left_behind(store: Store, registry: Path, keys: Collection[str]) -> list[str]:
    """Files of the workspace, no outputs, that one of `keys` opens: a rotation leaves them as they are."""
    outputs, found = store.outputs(), []
    for name in _workspace(store, registry):
        with suppress(OSError):
            if _key_of(store.root / name) in keys and not _is_output(name, outputs):
                found.append(name)
    return found


def _workspace(store: Store, registry: Path) -> Iterator[str]:
    """Every file of the workspace, relative to the root; git's, DVC's and the registry's are left out."""
    apart = {store.root / ".git", store.root / ".dvc", store.cache.resolve(), registry.resolve()}
    for directory, names, files in os.walk(store.root):
        names[:] = sorted(name for name in names if Path(directory, name) not in apart)
        yield from (Path(directory, name).relative_to(store.root).as_posix() for name in sorted(files))


def _is_output(name: str, outputs: list[Output]) -> bool:
    return any(Path(name).is_relative_to(output.path) for output in outputs)


def _add_bundles(result: Cost, registry: Registry, key_id: str) -> None:
    try:
        champion = registry.champion()
    except RegistryError:
        champion = ""
    for version in registry.versions():
        if any(_key_of(path) == key_id for path in registry.directory(version).iterdir()):
            result.bundles.append(f"{registry.name}/{version}")
            if version == champion:
                result.champions.append(result.bundles[-1])


def _key_of(path: Path) -> str | None:
    """Id of the key that opens the file; None where it is not sealed."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        try:
            return read_header(file)[0].key_id
        except SealError:
            return None
