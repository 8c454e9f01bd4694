"""The network as a picture: what flows from the raw columns to the probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from lockstep.charts import picture

_BOX, _GAP, _HEIGHT, _STEP, _TOP = 200, 20, 40, 60, 40
_MAX_TOWERS = 3


def architecture(network: Mapping[str, Any], n_columns: int, shipped: str | None) -> str:
    """Draw the layers.

    Parameters
    ----------
    network
        `lockstep.models.network.Network.as_dict`.
    n_columns
        Raw columns.
    shipped
        Name of the format that ships; None where that is unknown.
    """
    members = int(network.get("members", 1))
    towers = min(members, _MAX_TOWERS)
    width = max(towers, 2) * (_BOX + _GAP) + _GAP
    middle = width / 2
    centres = [middle + (i - (towers - 1) / 2) * (_BOX + _GAP) for i in range(towers)]
    parts: list[str] = []
    row = _shared(parts, 0, middle, f"{n_columns} raw columns", "categories and numbers")
    row = _shared(parts, row, middle, "Encoder", _inputs(network))
    for layer in _layers(network):
        for centre in centres:
            _box(parts, row, centre, *layer)
        row += 1
    if members > 1:
        hidden = f", of which {towers} are drawn" if towers < members else ""
        row = _shared(parts, row, middle, "Mean of the logits", f"{members} networks side by side{hidden}")
    row = _shared(parts, row, middle, "Calibrated probability", "Platt's scaling, folded into the last layer")
    if shipped:
        row = _shared(parts, row, middle, "LiteRT file", f"ships as {shipped}")
    return picture("The network, from raw columns to the probability", width, _TOP + row * _STEP, parts)


def _inputs(network: Mapping[str, Any]) -> str:
    return f"{network['n_coded']} codes, {network['numeric_width']} numeric inputs"


def _layers(network: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    layers = []
    if network["n_coded"]:
        layers.append(("Embedding", f"{network['n_codes']:,} codes in {network['embedding_dim']} dimensions"))
    normalised = {"batch": "batch norm", "layer": "layer norm"}.get(network["normalization"])
    for units in network["hidden"]:
        behind = ["SiLU", f"dropout {network['dropout']:g}"]
        layers.append((f"Dense, {units} units", ", ".join([normalised, *behind] if normalised else behind)))
    layers.append(("Logit", _outputs(network.get("n_outputs", 1))))
    return layers


def _outputs(n: int) -> str:
    return "1 output" if n == 1 else f"{n} outputs"


def _shared(parts: list[str], row: int, centre: float, name: str, detail: str) -> int:
    _box(parts, row, centre, name, detail)
    return row + 1


def _box(parts: list[str], row: int, centre: float, name: str, detail: str) -> None:
    top = _TOP + row * _STEP
    if row:
        parts.append(f'<path d="M{centre:g} {top - (_STEP - _HEIGHT)}v{_STEP - _HEIGHT}" stroke="#57606a"/>')
    parts.append(
        f'<rect x="{centre - _BOX / 2:g}" y="{top}" width="{_BOX}" height="{_HEIGHT}" rx="6" fill="#eef4ff" '
        f'stroke="#1f6feb"/>'
        f'<text x="{centre:g}" y="{top + 17}" text-anchor="middle" font-weight="bold">{escape(name)}</text>'
        f'<text x="{centre:g}" y="{top + 32}" text-anchor="middle" font-size="10">{escape(detail)}</text>'
    )
