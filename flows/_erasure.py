"""What the destruction of a key costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from flows._cache import Store
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
    current, older
        How many objects of DVC's cache, those that dvc.lock names and the others.
    bundles
        Versions of the registry, as NAME/VERSION.
    champions
        Those among them that are served.
    """

    workspace: list[str] = field(default_factory=list)
    current: int = 0
    older: int = 0
    bundles: list[str] = field(default_factory=list)
    champions: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """One line for each place."""
        bundles = [name + (" (served)" if name in self.champions else "") for name in self.bundles]
        return [
            f"workspace: {', '.join(self.workspace) or 'nothing'}",
            f"DVC cache: {self.current} objects that dvc.lock names, {self.older} of older versions",
            f"registry: {', '.join(bundles) or 'nothing'}",
        ]


def cost(store: Store, registry: Path, key_id: str) -> Cost:
    """Look which stored files a key opens, by their headers."""
    result = Cost()
    current: set[str | None] = set()
    for output in store.outputs():
        current |= {output.md5, *store.recorded(output).values()}
        top = store.root / output.path
        files = sorted(top.rglob("*")) if top.is_dir() else [top]
        result.workspace += [str(path.relative_to(store.root)) for path in files if _is_under(path, key_id)]
    for md5, path in store.objects().items():
        if _is_under(path, key_id):
            if md5 in current:
                result.current += 1
            else:
                result.older += 1
    for home in sorted(registry.glob("[!.]*/")):
        _add_bundles(result, Registry(registry, home.name), key_id)
    return result


def _add_bundles(result: Cost, registry: Registry, key_id: str) -> None:
    try:
        champion = registry.champion()
    except RegistryError:
        champion = ""
    for version in registry.versions():
        if any(_is_under(path, key_id) for path in registry.directory(version).iterdir()):
            result.bundles.append(f"{registry.name}/{version}")
            if version == champion:
                result.champions.append(result.bundles[-1])


def _is_under(path: Path, key_id: str) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        try:
            return read_header(file)[0].key_id == key_id
        except SealError:
            return False
