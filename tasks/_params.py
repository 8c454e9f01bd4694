"""Typed parameters: a stage's frozen model of the keys of params.yaml that it reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import AliasPath, BaseModel, ConfigDict, Field, ValidationError

from lockstep.errors import ParameterError


def key(path: str, **constraints: Any) -> Any:
    """Field that reads the dotted key `path` of params.yaml; `constraints` as for pydantic.Field."""
    return Field(validation_alias=AliasPath(*path.split(".")), **constraints)


class Params(BaseModel):
    """Base of every stage's parameters. No field has a default: each number stands in params.yaml."""

    model_config = ConfigDict(
        frozen=True, populate_by_name=True, strict=True, allow_inf_nan=False, protected_namespaces=()
    )

    section: ClassVar[str | None] = None
    """Section of params.yaml whose keys this model knows all; another key in it is an error."""

    elsewhere: ClassVar[frozenset[str]] = frozenset()
    """Keys of the section that other stages read."""

    def check(self) -> None:
        """Raise ParameterError where parameters, good each, do not go together."""

    @classmethod
    def keys(cls) -> set[str]:
        """Dotted keys of params.yaml that this model reads."""
        paths = (field.validation_alias for field in cls.model_fields.values())
        return {".".join(map(str, path.path)) for path in paths if isinstance(path, AliasPath)}


class Section(BaseModel):
    """Base of a group of parameters that is read as a whole."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=()
    )


P = TypeVar("P", bound=Params)


def load_params(model: type[P], path: str | Path) -> P:
    """Read `model` from the parameter file at `path`.

    Raises
    ------
    ParameterError
        The file is missing or no YAML mapping, a key is missing, has the wrong type or is out of range.
    """
    try:
        content = Path(path).read_bytes()
    except FileNotFoundError:
        raise ParameterError(
            f"{path} does not exist. Run from the project's root, or `lockstep init`."
        ) from None
    return parse_params(model, parse_document(content, str(path)), str(path))


def parse_document(content: bytes, origin: str) -> Any:
    """The document in the content of params.yaml; raises ParameterError, naming `origin`."""
    try:
        return yaml.safe_load(content.decode())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(f"{origin} is no YAML: {error}") from None


def parse_params(model: type[P], document: Any, origin: str) -> P:
    """Read `model` from a document of params.yaml.

    Parameters
    ----------
    origin
        Where a person would correct it.

    Raises
    ------
    ParameterError
        It is no mapping, a key is missing, unknown, has the wrong type, is out of range, or does not go with others.
    """
    if not isinstance(document, dict):
        raise ParameterError(f"{origin} must be a mapping of sections. Received: {type(document).__name__}.")
    own = document.get(model.section) if model.section else None
    unknown = (
        sorted({f"{model.section}.{name}" for name in own} - model.keys() - model.elsewhere)
        if isinstance(own, dict)
        else []
    )
    try:
        params = model.model_validate(document)
    except ValidationError as error:
        raise ParameterError("\n".join([_explain(error, origin), *map(_unknown, unknown)])) from None
    if unknown:
        raise ParameterError("\n".join(map(_unknown, unknown)))
    params.check()
    return params


def _unknown(name: str) -> str:
    return f"{name} is not a parameter of Lockstep: remove it or correct its name."


def _explain(error: ValidationError, origin: str) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        name = ".".join(map(str, problem["loc"]))
        if problem["type"] == "missing":
            lines.append(f"{name} is missing: add it to {origin}.")
        elif problem["type"] == "extra_forbidden":
            lines.append(_unknown(name))
        else:
            lines.append(f"{name}: {problem['msg']}. Received: {problem['input']!r}. Correct it in {origin}.")
    return "\n".join(lines)
