"""The registry: versions of a deployed model, and which of them is the champion.

``ROOT/NAME/VERSION/`` holds a bundle, ``ROOT/NAME/champion.json`` names the version that is served. A version
appears whole or not at all, and is never changed; the pointer is replaced in one step.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from lockstep.bundle.contents import Bundle, read_bundle, read_manifest, write_bundle
from lockstep.bundle.manifest import Manifest
from lockstep.errors import LockstepError, NotPromoted, RegistryError
from lockstep.files import make_directory, sync_directory, write_atomic
from lockstep.sealing.vault import Vault

REGISTRY_VARIABLE = "LOCKSTEP_REGISTRY"
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
"""What a model's name may be: it stands in paths and URLs."""

_CHAMPION = "champion.json"
_STAGING = ".staging-"
Check = Callable[[Path], None]


def registry_root(default: Path) -> Path:
    """Where the registry lies: LOCKSTEP_REGISTRY, else `default`."""
    return Path(os.environ.get(REGISTRY_VARIABLE) or default)


@dataclass(frozen=True)
class Promotion:
    """What `Registry.publish` did.

    Attributes
    ----------
    version, directory
        The champion.
    how
        It is new, an older version was promoted again, or it was the champion already.
    """

    version: str
    directory: Path
    how: Literal["new", "again", "unchanged"]


class Registry:
    """Versions of the model `name` under the directory `root`.

    Raises
    ------
    RegistryError
        `name` cannot stand in a path and a URL.
    """

    def __init__(self, root: Path, name: str) -> None:
        if not re.fullmatch(NAME, name):
            raise RegistryError(
                f"A model's name has letters, digits and ._- and starts with a letter or digit. "
                f"Received: {name!r}."
            )
        self.root = root
        self.name = name
        self._home = root / name

    @classmethod
    def find(cls, root: Path, name: str | None) -> Registry:
        """The registry of `name`, or of the only model that `root` holds; raises RegistryError."""
        if name is not None:
            return cls(root, name)
        names = sorted(path.parent.name for path in root.glob(f"*/{_CHAMPION}"))
        if not names:
            raise RegistryError(_nothing_deployed(root))
        if len(names) > 1:
            raise RegistryError(
                f"The registry {root} holds {len(names)} models: {', '.join(names)}. Choose one with --name."
            )
        return cls(root, names[0])

    def directory(self, version: str) -> Path:
        """Where the bundle of `version` lies."""
        return self._home / version

    def versions(self) -> list[str]:
        """Versions, oldest first."""
        if not self._home.is_dir():
            return []
        return sorted((path.name for path in self._home.iterdir() if path.name.isdecimal()), key=int)

    def pointer(self) -> bytes | None:
        """What says which version is served, as it stands; None where nothing is deployed."""
        try:
            return (self._home / _CHAMPION).read_bytes()
        except FileNotFoundError:
            return None

    def champion(self) -> str:
        """Version that is served; raises RegistryError where nothing is deployed."""
        pointer = self.pointer()
        if pointer is None:
            raise RegistryError(_nothing_deployed(self.root, self.name))
        version = _parsed(pointer).get("version")
        if not isinstance(version, str) or not version.isdecimal():
            raise RegistryError(f"{self._home / _CHAMPION} is damaged. Deploy again: `lockstep deploy`.")
        return version

    def champion_candidate(self) -> str | None:
        """Digest of what is served, however its bundle fares; None where that is unknown."""
        candidate = _parsed(self.pointer() or b"").get("candidate")
        return candidate if isinstance(candidate, str) else None

    def load_champion(self) -> Bundle:
        """Open and verify the served bundle; raises RegistryError and SealError as `read_bundle` does."""
        return read_bundle(self.directory(self.champion()))

    def publish(self, bundle: Bundle, vault: Vault, check: Check, after: bytes | None) -> Promotion:
        """Make `bundle` the champion, as a new version unless one of the registry is the same deployment.

        Parameters
        ----------
        bundle
            What to deploy; its manifest needs no version and no files.
        vault
            Seals it.
        check
            Called with the directory of a bundle before it is promoted; raises LockstepError to refuse it.
        after
            The `pointer` that `bundle` was judged against.

        Raises
        ------
        NotPromoted
            Another champion has come meanwhile.
        LockstepError
            `check` refused; the registry is as it was. So it is after a crash, but for a hidden directory
            that the next call removes.
        """
        with self._locked():
            if self.pointer() != after:
                raise NotPromoted(
                    f"Another {self.name!r} was deployed while this candidate was judged. Run `lockstep deploy` again: "
                    "it compares with the new champion."
                )
            for version in reversed(self.versions()):
                if self._serves(version, bundle.manifest, check):
                    return self._promote(version, "again")
            return self._promote(self._add(bundle, vault, check), "new")

    def _serves(self, version: str, wanted: Manifest, check: Check) -> bool:
        directory = self.directory(version)
        try:
            if not read_manifest(directory).repeats(wanted):
                return False
            check(directory)
        except LockstepError:
            # Damaged, or sealed with a key that is gone: the candidate at hand becomes a new version instead.
            return False
        return True

    def _add(self, bundle: Bundle, vault: Vault, check: Check) -> str:
        version = str(max(map(int, self.versions()), default=0) + 1)
        staging = self._home / f"{_STAGING}{version}"
        staging.mkdir()
        try:
            write_bundle(staging, replace(bundle, manifest=replace(bundle.manifest, version=version)), vault)
            check(staging)
            staging.rename(self.directory(version))
        except BaseException:
            shutil.rmtree(staging, ignore_errors=True)
            raise
        sync_directory(self._home)
        return version

    def _promote(self, version: str, how: Literal["new", "again"]) -> Promotion:
        directory = self.directory(version)
        try:
            if self.champion() == version:
                return Promotion(version, directory, "unchanged")
        except RegistryError:
            pass
        pointer = {"version": version, "candidate": read_manifest(directory).candidate}
        write_atomic(self._home / _CHAMPION, (json.dumps(pointer, indent=2) + "\n").encode())
        return Promotion(version, directory, how)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_directory(self._home)
        descriptor = os.open(self._home / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for abandoned in self._home.glob(f"{_STAGING}*"):
                shutil.rmtree(abandoned)
            yield
        finally:
            os.close(descriptor)


def _parsed(pointer: bytes) -> dict[str, object]:
    try:
        found = json.loads(pointer)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _nothing_deployed(root: Path, name: str | None = None) -> str:
    what = "No model" if name is None else f"No model {name!r}"
    return (
        f"{what} is deployed in the registry {root.absolute()}. Run `lockstep run`, or `lockstep deploy` "
        f"where that has nothing to do, or name another registry with --registry or {REGISTRY_VARIABLE}."
    )
