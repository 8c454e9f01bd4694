"""Parameters that a person sets for one run, as ``train.epochs=5``: judged before any stage starts."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flows._parameters import models
from lockstep.errors import ParameterError

# They say whose data this is and where results go, and an experiment changes neither.
_FIXED = ("project", "remote")

Readers = Mapping[str, tuple[Sequence[str], set[str]]]
"""Of each stage the commands, and the keys of params.yaml that it declares."""


def override(document: Any, overrides: Sequence[str], readers: Readers, root: Path) -> None:
    """Set the keys of a document of params.yaml.

    Parameters
    ----------
    document
        As `flows._yaml.load` gives it; changed in place.
    overrides
        ``KEY=VALUE`` each, with a dotted key and a value in YAML.
    readers
        The stages of the project.
    root
        Directory of the project.

    Raises
    ------
    ParameterError
        A key is unknown, or a stage of Lockstep could not use the value.
    """
    changes = dict(map(_parse, overrides))
    declared = {key for _, keys in readers.values() for key in keys}
    known = {*_keys(document), *declared}
    for key, value in changes.items():
        if key not in known and not any(key.startswith(f"{other}.") for other in declared):
            close = difflib.get_close_matches(key, known, n=1)
            hint = f"Did you mean {close[0]}?" if close else "params.yaml lists them."
            raise ParameterError(f"{key} is not a parameter of this project. {hint}")
        if key in _FIXED:
            raise ParameterError(f"{key} cannot be set for one run. Change it in params.yaml.")
        _set(document, key, value)
    _check(document, changes, readers, root)


def _parse(text: str) -> tuple[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    key, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not re.fullmatch(r"[^\s.]+(\.[^\s.]+)*", key):
        raise ParameterError(f"An override is KEY=VALUE, such as train.epochs=5. Received: {text!r}.")
    try:
        # YAML 1.2, in which 1e-3 is a number; of plain types, so that params.yaml has it as others read it.
        return key, YAML(typ="safe", pure=True).load(value)
    except YAMLError:
        raise ParameterError(f"The value of {key} is no YAML. Received: {value!r}.") from None


def _keys(document: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(document, Mapping):
        for name, value in document.items():
            yield f"{prefix}{name}"
            yield from _keys(value, f"{prefix}{name}.")


def _set(document: Any, key: str, value: Any) -> None:
    *sections, name = key.split(".")
    for depth, section in enumerate(sections, 1):
        document = document.setdefault(section, {})
        if not isinstance(document, Mapping):
            raise ParameterError(f"{key}: {'.'.join(sections[:depth])} is a value and no section.")
    document[name] = value


def _check(document: Any, changes: Mapping[str, Any], readers: Readers, root: Path) -> None:
    """Have each of Lockstep's own stages that reads a changed key judge the whole of what it reads."""
    import yaml

    from flows._yaml import dump

    read = yaml.safe_load(dump(document))
    for commands, keys in readers.values():
        if not any(f"{key}.".startswith(f"{change}.") or change.startswith(f"{key}.")
                   for key in keys for change in changes):  # fmt: skip
            continue
        for model in models(commands, root):
            from tasks._params import parse_params

            parse_params(model, read, "the overrides")
