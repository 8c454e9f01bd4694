"""What the workspace's registry serves, and how a candidate stands beside it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.commands._project import read_yaml
from lockstep.errors import RegistryError, UsageError

if TYPE_CHECKING:
    from lockstep.bundle.manifest import Manifest
    from lockstep.bundle.registry import Registry


def champion_directory() -> Path | None:
    """Directory of the bundle that this workspace has deployed; None where there is none."""
    registry = _registry(Path())
    try:
        return registry.directory(registry.champion()) if registry else None
    except RegistryError:
        return None


def champion() -> Manifest | None:
    """Manifest of the bundle that this workspace has deployed; None where there is none, or it is damaged."""
    from lockstep.bundle.contents import read_manifest

    directory = champion_directory()
    try:
        return read_manifest(directory) if directory else None
    except RegistryError:
        return None


def comparison(root: Path, candidate: str) -> dict[str, Any] | None:
    """`candidate` beside the champion of the workspace `root`; None where nobody has compared these two."""
    from tasks._champion import read_comparison

    registry = _registry(root)
    return read_comparison(root, registry, candidate) if registry else None


def _registry(root: Path) -> Registry | None:
    """The registry of the workspace `root`; None where params.yaml has no name for it."""
    from lockstep.bundle.registry import Registry, registry_root

    try:
        return Registry(registry_root(root / "registry"), read_yaml(root / "params.yaml")["deploy"]["name"])
    except (RegistryError, UsageError, KeyError, TypeError):
        return None
