"""The end of LiRA: what all networks say of the attacked rows, beside what the model that ships says.

No stage: `flows.attack` calls it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lockstep.data.tables import SCHEMA, from_parquet
from lockstep.evaluation.gates import verdict
from lockstep.evaluation.lira import confidence, likelihood_ratios
from lockstep.evaluation.membership import attack
from lockstep.evaluation.metrics import Floats
from tasks import evaluate
from tasks._decision import score
from tasks._membership import GATES, judged_gates
from tasks._shadow import ROLE, pool_of
from tasks._stage import write_report


def run(inputs: evaluate.Inputs, networks: Floats) -> dict[str, Any]:
    """Attack the model that ships.

    Parameters
    ----------
    networks
        What each network says of each attacked row, shape (networks, n): `tasks._shadow.run`.

    Returns
    -------
    dict
        Counts, the figures of `lockstep.evaluation.membership.attack`, and what the gates of `evaluate` say of it.
    """
    pool, rate = pool_of(inputs), inputs.params.attack_false_positive_rate
    shipped = np.concatenate(
        [confidence(part.codes, score(inputs.scorer, part.rows)) for part in (pool.members, pool.others)]
    )
    ratios, n_members = likelihood_ratios(shipped, networks), len(pool.members.codes)
    found = attack(ratios[:n_members], ratios[n_members:], rate, 1)
    thresholds = {gate: getattr(inputs.params.gates, gate) for gate in GATES}
    gates = judged_gates([found], thresholds, len(ratios), rate)
    return {
        "networks": len(networks),
        "false_positive_rate": rate,
        "n_members": n_members,
        "n_others": len(ratios) - n_members,
        "verdict": verdict(gates) if gates else None,
        "gates": [gate.as_dict() for gate in gates],
        "candidate": inputs.candidate(evaluate.rule_of(inputs)),
        "attack": found,
    }


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="tasks._lira", allow_abbrev=False)
    parser.add_argument("--scores", required=True, type=Path, nargs="+")
    parser.add_argument("--lira", required=True, type=Path)
    args, rest = parser.parse_known_args(argv)
    inputs = evaluate.read_inputs(evaluate.arguments_of(rest))
    parts = [from_parquet(inputs.vault.read(path, role=ROLE, schema=SCHEMA)) for path in args.scores]
    networks = np.array([part["confidence"].to_numpy() for part in parts])
    write_report(args.lira, run(inputs, networks))
