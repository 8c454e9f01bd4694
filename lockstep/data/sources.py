"""Where a source table comes from: a file, or a place elsewhere that a declaration in git names.

A file is a dependency of the stages itself. What a URL or a SQL query gives cannot be one: ``data/source.json`` stands
for it, and holds where it is and a keyed digest of its content as it was last looked at. The content is read anew by
each stage that needs it, and is never stored in clear.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pyarrow as pa

from lockstep.data.tables import parse_source, read_bytes, refuse_twice, to_parquet
from lockstep.errors import DataError, UsageError

_URL = re.compile(r"[A-Za-z][\w+.-]*:(//|:)")
_VARIABLE = re.compile(r"\$\{(\w+)\}")
_SECRET = re.compile(r"(?i)token|sig|secret|passw|pwd|key|credential")
_QUERY_NAME = "query.parquet"

_CHANGED = "{} does not give what its fingerprint in {} was taken of. `lockstep refresh` takes it anew; then run again."


@dataclass(frozen=True)
class Declaration:
    """A source that is no file of this machine.

    Attributes
    ----------
    location
        URL that fsspec or, with a query, SQLAlchemy knows. ``${NAME}`` in it stands for an environment variable.
    query
        SQL; None where `location` is a file's.
    fingerprint
        Keyed digest of the content, 64 hexadecimal digits; empty before the first look.
    """

    location: str
    query: str | None = None
    fingerprint: str = ""

    @property
    def name(self) -> str:
        """Name whose suffix tells the format of `read`'s answer."""
        if self.query is not None:
            return _QUERY_NAME
        if self.location.startswith(("http://", "https://")):
            return urlsplit(self.location).path.rsplit("/", 1)[-1]
        return self.location.split("::")[0 if "://" in self.location.split("::")[0] else -1]

    def read(self) -> bytes:
        """Content: the file, or the query's rows as Parquet.

        Raises
        ------
        DataError
            It cannot be reached, is not there, or its rows make no table.
        UsageError
            An environment variable that `location` names is not set, or a library for it is not installed.
        """
        location = _VARIABLE.sub(_from_environment, self.location)
        return _read_url(location, self.location) if self.query is None else self._rows(location)

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n").encode()

    def _rows(self, location: str) -> bytes:
        import sqlalchemy

        try:
            engine = sqlalchemy.create_engine(location, poolclass=sqlalchemy.NullPool)
        except ModuleNotFoundError as error:
            raise _not_installed(self.location, error) from None
        except sqlalchemy.exc.SQLAlchemyError:
            raise UsageError(
                f"{self.location!r} is no database that SQLAlchemy knows. Write dialect://user@host/name."
            ) from None
        try:
            with engine.connect() as connection:
                result = connection.execute(sqlalchemy.text(str(self.query)))
                names, rows = list(result.keys()), result.fetchall()
        except sqlalchemy.exc.SQLAlchemyError as error:
            # The driver's words may quote the address with its password, or a value.
            raise DataError(
                f"The query on {self.location!r} failed ({type(error).__name__}). Try it in the database's own client."
            ) from None
        refuse_twice(names, "The query's answer")
        columns = [[row[i] for row in rows] for i in range(len(names))]
        arrays = [_column(name, values) for name, values in zip(names, columns, strict=True)]
        return to_parquet(pa.Table.from_arrays(arrays, names=names))


def declare(location: str, query: str | None) -> Declaration:
    """Declare a source by its URL, and the query where it is a database.

    Raises
    ------
    UsageError
        It holds a password or a token, which git would keep.
    """
    parts = urlsplit(location)
    secret = "its password" if parts.password and not _VARIABLE.search(parts.password) else None
    for name, value in parse_qsl(parts.query):
        if _SECRET.search(name) and not _VARIABLE.fullmatch(value):
            secret = f"its {name}"
    if secret:
        raise UsageError(
            f"The source's URL holds {secret}, and would be written to a file. Put it in an environment variable and "
            "write ${NAME} in its place, in single quotes."
        )
    return Declaration(location, query)


def is_url(source: str) -> bool:
    """Whether `source` is a URL and no path."""
    return _URL.match(source) is not None


def read_declaration(path: Path) -> Declaration:
    """Read ``data/source.json``; raises DataError where it is none."""
    try:
        document = json.loads(read_bytes(path))
        found = Declaration(**document)
        whole = all(
            isinstance(value, str) for value in (found.location, found.query or "", found.fingerprint)
        )
    except (ValueError, TypeError):
        whole = False
    if not whole:
        raise DataError(
            f"{path} declares no source: it holds location, query and fingerprint. `lockstep init` writes it."
        )
    return found


def read_content(path: Path, digest: Callable[[bytes], str]) -> tuple[bytes, str]:
    """Content of the source that a stage is given, and the name whose suffix tells its format.

    Parameters
    ----------
    path
        The table itself, or a declaration (``.json``).
    digest
        Keyed digest of a content, as `lockstep.sealing` makes it; called for a declared source alone.

    Raises
    ------
    DataError
        It cannot be read, or is not what the fingerprint was taken of.
    """
    if path.suffix != ".json":
        return read_bytes(path), str(path)
    declaration = read_declaration(path)
    content = declaration.read()
    if digest(content) != declaration.fingerprint:
        raise DataError(_CHANGED.format(declaration.location, path))
    return content, declaration.name


def open_source(source: str, query: str | None, encoding: str) -> tuple[pa.Table, bytes, Declaration | None]:
    """Table, content and declaration (None for a file) of a source as a person names it."""
    if query is None and not is_url(source):
        content = read_bytes(source)
        return parse_source(content, source, encoding=encoding), content, None
    declaration = declare(source, query)
    content = declaration.read()
    return parse_source(content, declaration.name, encoding=encoding), content, declaration


def _from_environment(found: re.Match[str]) -> str:
    try:
        return os.environ[found[1]]
    except KeyError:
        raise UsageError(
            f"The source's URL names the environment variable {found[1]}; it is not set."
        ) from None


def _read_url(location: str, shown: str) -> bytes:
    import fsspec

    try:
        with fsspec.open(location, "rb") as file:
            return bytes(file.read())
    except ImportError as error:
        raise _not_installed(shown, error) from None
    except FileNotFoundError:
        raise DataError(f"{shown} does not exist, or its host does not answer. Correct the URL.") from None
    except Exception as error:
        # Each file system has errors of its own, whose words may quote a token.
        raise DataError(
            f"{shown} cannot be read ({type(error).__name__}). Correct the URL, or see to network and credentials."
        ) from None


def _not_installed(location: str, error: ImportError) -> UsageError:
    missing = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs"}
    package = error.name or missing.get(location.split(":")[0], "a library for its scheme")
    return UsageError(
        f"{location} needs {package}, which is not installed. Install it with pip, then run again."
    )


def _column(name: str, values: list[object]) -> pa.Array:
    from decimal import Decimal

    try:
        return pa.array([float(v) if isinstance(v, Decimal) else v for v in values])
    except (pa.ArrowException, TypeError):
        raise DataError(
            f"Column {name!r} of the query holds values of several types. CAST it to one in the query."
        ) from None
