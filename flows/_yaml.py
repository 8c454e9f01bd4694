"""YAML files that people write too: what is not changed stays as it stands, comments included."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any


def load(path: Path) -> Any:
    """Document at `path`, with its comments."""
    return _yaml().load(path.read_text(encoding="utf-8"))


def dump(document: Any) -> bytes:
    """Inverse of `load`."""
    buffer = BytesIO()
    _yaml().dump(document, buffer)
    return buffer.getvalue()


def _yaml() -> Any:
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 110
    yaml.indent(mapping=2, sequence=4, offset=2)
    # A value left blank looks forgotten.
    yaml.representer.add_representer(type(None), _null)
    yaml.representer.add_representer(float, _float)
    return yaml


def _null(representer: Any, value: None) -> Any:
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def _float(representer: Any, value: float) -> Any:
    node = representer.represent_float(value)
    if "." not in node.value:
        # 1e-05 is a number in YAML 1.2 alone, and the stages read 1.1.
        node.value = node.value.replace("e", ".0e", 1)
    return node
