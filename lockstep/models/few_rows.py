"""What few rows make of a network and its training: more and narrower members, each regularised more.

Constants and formula were chosen on validation rows of many tables: docs/adr/011-few-rows.md.
"""

from __future__ import annotations

import math
from dataclasses import replace

from lockstep.models.ensemble import Ensemble
from lockstep.models.network import Network
from lockstep.models.training import Schedule

_SHARE = 0.01
_MEMBERS = 4.0
_WEIGHT_DECAY = 5.0
_LEARNING_RATE = 0.5


def scarcity(n_rows: int, ample_rows: int) -> float:
    """0 from `ample_rows` rows on, 1 up to a hundredth of them, and between the two linear in the logarithm."""
    if n_rows >= ample_rows:
        return 0.0
    return min(math.log(ample_rows / max(n_rows, 1)) / -math.log(_SHARE), 1.0)


def fitted(
    network: Network, schedule: Schedule, ensemble: Ensemble, n_rows: int, ample_rows: int
) -> tuple[Network, Schedule, Ensemble]:
    """The same for a table of `n_rows` training rows, in numbers that hold for it.

    Parameters
    ----------
    ample_rows
        Rows from which on nothing changes; 0: nothing ever does.

    Notes
    -----
    The shares of kept units are raised to a power, up to their squares, and weight decay is multiplied, by up to five,
    so that what is 0 stays 0; the learning rate is up to halved. The units of a joint ensemble are dealt out to up to
    four times as many members, whose mean varies less than a few wide networks do.
    """
    scarce = scarcity(n_rows, ample_rows)
    if not scarce:
        return network, schedule, ensemble
    network = replace(
        network,
        dropout=1.0 - (1.0 - network.dropout) ** (1.0 + scarce),
        embedding_dropout=1.0 - (1.0 - network.embedding_dropout) ** (1.0 + scarce),
    )
    schedule = replace(
        schedule,
        learning_rate=schedule.learning_rate * _LEARNING_RATE**scarce,
        weight_decay=schedule.weight_decay * _WEIGHT_DECAY**scarce,
    )
    if ensemble.method == "joint":
        members = round(ensemble.members * _MEMBERS**scarce)
        share = ensemble.members / members
        network = replace(network, hidden=tuple(math.ceil(share * units) for units in network.hidden))
        ensemble = replace(ensemble, members=members)
    return network, schedule, ensemble
