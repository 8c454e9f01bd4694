"""Rotates the project's key: all that dvc.lock names is sealed anew, and dvc.lock follows.

A journal makes it one step. What is resealed lies apart, in `HOME`, until all of it is durable and the new key is
in the keyring; the plan's rename to `JOURNAL` then decides that the rotation happens. Before, it is undone;
after, it is finished, by steps that may each be repeated: a file is replaced only where it still is the one
that the plan names.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from flows._cache import DIRECTORY, Output, Store, md5_of, replace_by
from flows._locks import RUN, only_one
from lockstep.errors import LockstepError, UsageError
from lockstep.files import sync_directory, write_atomic
from lockstep.sealing.header import MAGIC
from lockstep.sealing.keyring import open_keyring, read_key_id
from lockstep.sealing.rotation import activate_key, add_key, destroy_key, reseal, vault_of_new_key
from lockstep.sealing.vault import Vault

HOME = Path(".lockstep/rotation")
JOURNAL = HOME / "journal.json"
PLAN = HOME / "plan.json"
KEY_ID = "lockstep.key-id"

Step = Callable[[], None]


@dataclass(frozen=True)
class Change:
    """A file that gets another content.

    Attributes
    ----------
    path
        Relative to the root.
    old, new
        Its hashes; those of a directory end in ``.dir``.
    cached
        DVC keeps it in its cache.
    """

    path: str
    old: str
    new: str
    cached: bool


@dataclass(frozen=True)
class Plan:
    """A rotation: the project, the id of the new key, and every file that changes."""

    project: str
    key_id: str
    changes: list[Change]

    def to_json(self) -> bytes:
        """Inverse of `from_json`."""
        return json.dumps(asdict(self), indent=2).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Plan:
        """Inverse of `to_json`."""
        document = json.loads(content)
        changes = [Change(**change) for change in document.pop("changes")]
        return cls(changes=changes, **document)


def rotate(root: Path, project: str, step: Step = lambda: None) -> Plan:
    """Make a new active key and seal under it what dvc.lock names; or finish a rotation that was interrupted.

    Parameters
    ----------
    root
        Directory of dvc.yaml.
    project
        Id of the project.
    step
        Called after each file.

    Raises
    ------
    LockstepError
        A file is not the one that dvc.lock names, or something failed. The message says whether the project is
        as it was, or the next call finishes the rotation.
    """
    with _exclusive(root) as store:
        if is_interrupted(root):
            return _finish(store)
        _undo(root, project)
        try:
            _prepare(store, project, step)
            (root / PLAN).rename(root / JOURNAL)
        except BaseException as error:
            if not is_interrupted(root):
                with suppress(OSError):
                    _undo(root, project)
            if isinstance(error, OSError):
                raise LockstepError(f"The key was not rotated, and nothing was changed: {error}.") from error
            raise
        return _finish(store)


def is_interrupted(root: Path) -> bool:
    """Whether a rotation was decided and not finished."""
    return (root / JOURNAL).exists()


def finish(root: Path) -> Plan:
    """Finish the rotation that was interrupted."""
    with _exclusive(root) as store:
        return _finish(store)


@contextmanager
def _exclusive(root: Path) -> Iterator[Store]:
    store = Store(root)
    try:
        busy = "The pipeline runs ({owner}). Rotate when it has ended."
        with only_one(root / RUN, busy, keep=True), store.locked("lockstep keys rotate"):
            yield store
    finally:
        store.close()


def _prepare(store: Store, project: str, step: Step) -> None:
    """Seal everything anew, apart, and put the key into the keyring; nothing else knows of it yet."""
    vault, key = vault_of_new_key(project)
    _staged(store.root, "").mkdir(parents=True)
    sync_directory((store.root / HOME).parent)
    staging = _Staging(store, vault)
    for output in store.outputs():
        staging.add(output)
        step()
    key_file = store.root / KEY_ID
    read_key_id(key_file)
    # Last, as it also makes the names of all that is staged durable.
    staging.put(KEY_ID, md5_of(key_file), f"{key.id}\n".encode())
    write_atomic(store.root / PLAN, Plan(project, key.id, staging.changes).to_json())
    add_key(project, key)


class _Staging:
    """The resealed contents, by hash."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self.changes: list[Change] = []
        self._store = store
        self._vault = vault
        self._resealed: dict[str, str] = {}

    def add(self, output: Output) -> None:
        """Reseal an output: a file, or the sealed files of a directory."""
        if output.md5 is None:
            return
        files = self._store.recorded(output)
        if output.md5.endswith(DIRECTORY) and not self._store.object(output.md5).exists():
            raise UsageError(f"The cache has no list of the files in {output.path}. Run `dvc pull` first.")
        new = {path: self._reseal(path, md5, output) for path, md5 in files.items()}
        self.changes += [
            Change(path, files[path], md5, output.cached) for path, md5 in new.items() if md5 != files[path]
        ]
        if output.md5.endswith(DIRECTORY) and new != files:
            listed = [
                {"md5": md5, "relpath": path.removeprefix(f"{output.path}/")} for path, md5 in new.items()
            ]
            self.put(output.path, output.md5, json.dumps(listed, sort_keys=True).encode(), DIRECTORY)

    def put(self, path: str, old: str, content: bytes, end: str = "") -> None:
        """Stage a content as it is."""
        new = hashlib.md5(content, usedforsecurity=False).hexdigest() + end
        write_atomic(_staged(self._store.root, new), content)
        self.changes.append(Change(path, old, new, cached=bool(end)))

    def _reseal(self, path: str, md5: str, output: Output) -> str:
        """Hash of the resealed file; `md5` itself where it is not sealed."""
        copies = [copy for copy in (self._store.root / path, self._store.object(md5)) if copy.exists()]
        if not copies and path.endswith(".sealed"):
            raise UsageError(f"{path} is missing. Run `dvc pull` or `lockstep run` first.")
        if not any(_is_sealed(copy) for copy in copies):
            return md5
        for copy in copies:
            if md5_of(copy) != md5:
                raise UsageError(
                    f"{copy} is not the file that dvc.lock names. Run `lockstep fsck --repair`, or `lockstep run` "
                    f"for stage {output.stage}, and rotate then. Nothing was changed."
                )
        if md5 not in self._resealed:
            target = self._store.root / HOME / "resealed"
            reseal(self._vault, copies[0], target)
            self._resealed[md5] = md5_of(target)
            target.rename(_staged(self._store.root, self._resealed[md5]))
        return self._resealed[md5]


def _finish(store: Store) -> Plan:
    root = store.root
    plan = Plan.from_json((root / JOURNAL).read_bytes())
    try:
        sync_directory(root / HOME)
        activate_key(plan.project, plan.key_id)
        for change in plan.changes:
            if change.cached:
                store.place(_staged(root, change.new), change.new)
        for change in plan.changes:
            _replace(store, change)
        store.rewrite({(change.path, change.old): change.new for change in plan.changes})
        (root / JOURNAL).unlink()
        sync_directory(root / HOME)
    except OSError as error:
        raise LockstepError(
            f"The rotation to key {plan.key_id} was interrupted: {error}. No file is lost; when the cause is gone, "
            "`lockstep keys rotate` finishes it."
        ) from error
    shutil.rmtree(root / HOME, ignore_errors=True)
    return plan


def _replace(store: Store, change: Change) -> None:
    path = store.root / change.path
    if path.is_file() and md5_of(path) == change.old:
        old, new = store.object(change.old), store.object(change.new)
        replace_by(new if change.cached else _staged(store.root, change.new), path, old, new)


def _undo(root: Path, project: str) -> None:
    """Forget what an interrupted rotation prepared: nothing but that was sealed under its key."""
    if (root / PLAN).exists():
        key_id = Plan.from_json((root / PLAN).read_bytes()).key_id
        keyring = open_keyring(project)
        if key_id in keyring.keys and key_id != keyring.active:
            destroy_key(project, key_id)
    shutil.rmtree(root / HOME, ignore_errors=True)


def _staged(root: Path, md5: str) -> Path:
    return root / HOME / "objects" / md5


def _is_sealed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC
