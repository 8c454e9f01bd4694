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
    rows: list[tuple[list[float], str, str]] = [
        ([middle], f"{n_columns} raw columns", "categories and numbers"),
        ([middle], "Encoder", _inputs(network)),
        *((centres, *layer) for layer in _layers(network)),
    ]
    if members > 1:
        hidden = f", {towers} of which are drawn" if towers < members else ""
        rows.append(([middle], "Mean of the logits", f"of {members} networks{hidden}"))
    rows.append(([middle], "Calibrated probability", "Platt's scaling, folded into the last layer"))
    if shipped:
        rows.append(([middle], "LiteRT file", f"ships as {shipped}"))
    parts: list[str] = []
    above: list[float] = []
    for row, (places, name, detail) in enumerate(rows):
        for place in places:
            _lead(parts, row, [place] if above == places else above, place)
            _box(parts, row, place, name, detail)
        above = places
    return picture("The network, from raw columns to the probability", width, _TOP + len(rows) * _STEP, parts)


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


def _lead(parts: list[str], row: int, above: Sequence[float], centre: float) -> None:
    """Draw how the boxes `above` lead to that at `centre`."""
    gap = _STEP - _HEIGHT
    for start in above:
        bend = f"M{start:g} {_TOP + row * _STEP - gap}v{gap / 2:g}H{centre:g}v{gap / 2:g}"
        parts.append(f'<path d="{bend}" fill="none" stroke="#57606a"/>')


def _box(parts: list[str], row: int, centre: float, name: str, detail: str) -> None:
    top = _TOP + row * _STEP
    parts.append(
        f'<rect x="{centre - _BOX / 2:g}" y="{top}" width="{_BOX}" height="{_HEIGHT}" rx="6" fill="#eef4ff" '
        f'stroke="#1f6feb"/>'
        f'<text x="{centre:g}" y="{top + 17}" text-anchor="middle" font-weight="bold">{escape(name)}</text>'
        f'<text x="{centre:g}" y="{top + 32}" text-anchor="middle" font-size="10">{escape(detail)}</text>'
    )
