"""fsspec: `pandas.read_parquet("sealed://data/train.parquet.sealed")`, and `"sealed::s3://..."` for elsewhere."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import fsspec
import yaml
from fsspec.implementations.chained import ChainedFileSystem

from lockstep.errors import SealError, UsageError
from lockstep.sealing.reader import SealedReader
from lockstep.sealing.vault import Vault, open_vault

_PARAMS = Path("params.yaml")


class SealedFileSystem(ChainedFileSystem):
    """The plaintexts of the sealed files of another file system, to read.

    Reading is as `Vault.reader`: by random access, and no byte before its tag was checked.

    Parameters
    ----------
    project
        Id of the project that the files belong to; that of params.yaml in the working directory unless given.
    role, schema
        What each file has to be ("train", "table/1"); anything unless given.
    target_protocol, target_options, fs
        The file system where the sealed files lie, as for fsspec's other chained ones; the local one unless given.
    """

    protocol: ClassVar[str] = "sealed"

    def __init__(
        self,
        project: str | None = None,
        role: str | None = None,
        schema: str | None = None,
        fs: fsspec.AbstractFileSystem | None = None,
        target_protocol: str | None = None,
        target_options: dict[str, Any] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.fs = fsspec.filesystem(target_protocol or "file", **(target_options or {})) if fs is None else fs
        self._project = project
        self._expected = {"role": role, "schema": schema}

    def exists(self, path: str, **options: Any) -> bool:
        """Whether something lies at `path`, damaged or not."""
        return bool(self.fs.exists(self._strip_protocol(path), **options))

    def isfile(self, path: str) -> bool:
        """Whether a file lies at `path`, damaged or not: whoever reads it is to be told what is wrong."""
        return bool(self.fs.isfile(self._strip_protocol(path)))

    def isdir(self, path: str) -> bool:
        """Whether `path` is a directory."""
        return bool(self.fs.isdir(self._strip_protocol(path)))

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Facts of a file or directory; a file's size is that of its plaintext, authenticated."""
        path = self._strip_protocol(path)
        info = self._renamed(path, self.fs.info(path, **options))
        return info if info["type"] == "directory" else info | {"size": self._size(path)}

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        """Names in a directory, or facts as of `info`; what cannot be opened has no size."""
        path = self._strip_protocol(path)
        entries = [self._renamed(path, entry) for entry in self.fs.ls(path, detail=True, **options)]
        return (
            [self._measured(entry) for entry in entries] if detail else [entry["name"] for entry in entries]
        )

    def modified(self, path: str) -> Any:
        """When the sealed file was modified."""
        return self.fs.modified(self._strip_protocol(path))

    def _renamed(self, path: str, entry: dict[str, Any]) -> dict[str, Any]:
        """`entry` under `path` as it was asked for: the local file system answers with absolute names."""
        below = entry["name"].removeprefix(self.fs._strip_protocol(path))
        return entry | {"name": path + below if path else below.lstrip("/")}

    def _measured(self, entry: dict[str, Any]) -> dict[str, Any]:
        if entry["type"] == "directory":
            return entry
        try:
            return entry | {"size": self._size(entry["name"])}
        except SealError:
            return entry | {"size": None}

    def _size(self, path: str) -> int:
        with self._open(path) as file:
            return file.size

    def _open(self, path: str, mode: str = "rb", **options: Any) -> SealedReader:
        if mode != "rb":
            self._refuse_to_write(path)
        # Unbuffered, for a buffer over it would mix up the threads that share it.
        return self._vault().reader_of(self.fs.open(path, "rb"), name=path, **self._expected)

    def _refuse_to_write(self, path: str, *more: Any, **options: Any) -> NoReturn:
        raise OSError(errno.EROFS, "Sealed files are read here; `lockstep seal` writes one", path)

    mkdir = makedirs = rmdir = rm = rm_file = mv = cp_file = touch = _refuse_to_write

    def _vault(self) -> Vault:
        # Anew for each file: fsspec keeps file systems, and a keyring or working directory may change.
        return open_vault(self._project or _project_here(), None)


def _project_here() -> str:
    try:
        document = yaml.safe_load(_PARAMS.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        document = None
    project = document.get("project") if isinstance(document, dict) else None
    if not isinstance(project, str):
        raise UsageError(
            f"{_PARAMS.absolute()} names no project. Go to the directory of yours, or name it with "
            "`storage_options={'project': ...}`."
        )
    return project
