"""The ways to mitigate bias, by name: `debias.method` of params.yaml."""

from __future__ import annotations

from typing import Literal, NamedTuple

Method = Literal["none", "drop", "correlation", "reweighing", "adversarial", "grid", "thresholds"]

Constraint = Literal["demographic_parity", "equalized_odds"]
"""What is to be equal between groups: how many are chosen, or how many of those of either label."""


class Mitigation(NamedTuple):
    """What a method changes.

    Attributes
    ----------
    acts_on
        ``features``, ``weights``, ``training`` or ``decisions``.
    serves_sensitive
        Whether a served model needs the sensitive features of a row.
    """

    acts_on: Literal["features", "weights", "training", "decisions"]
    serves_sensitive: bool = False


METHODS: dict[Method, Mitigation] = {
    # Sensitive features and proxies stay features: what the others are compared with.
    "none": Mitigation("features"),
    # Each of the others drops them too.
    "drop": Mitigation("features"),
    "correlation": Mitigation("features", serves_sensitive=True),
    "reweighing": Mitigation("weights"),
    "adversarial": Mitigation("training"),
    "grid": Mitigation("training"),
    "thresholds": Mitigation("decisions", serves_sensitive=True),
}
