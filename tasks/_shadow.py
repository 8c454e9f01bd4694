"""One network of LiRA: trained as the model that ships on half of the training and test rows, asked about the others.

No stage: `flows.attack` calls it. What it says of each row is sealed scratch.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from lockstep.data.batches import TableBatches
from lockstep.data.columns import MADE, SEEN, WEIGHT, features
from lockstep.data.labels import flag
from lockstep.data.row_digests import identical_rows
from lockstep.data.tables import SCHEMA, to_parquet
from lockstep.errors import DataError
from lockstep.evaluation.lira import confidence, half
from lockstep.evaluation.membership import is_evidence
from lockstep.evaluation.metrics import Floats
from tasks import debias, evaluate, resample, train
from tasks._fold import learn, score
from tasks._membership import Attacked, audience_of
from tasks._params import load_params
from tasks._privacy import secret_of

ROLE = "shadow"


class Pool(NamedTuple):
    """Rows that networks are trained on by halves.

    Attributes
    ----------
    rows
        Real training rows of the model that ships, and test rows behind them.
    members, others
        Rows to attack.
    numbers
        Their numbers in `rows`, members first.
    """

    rows: pa.Table
    members: Attacked
    others: Attacked
    numbers: np.ndarray


def pool_of(inputs: evaluate.Inputs) -> Pool:
    """The rows to train on and to attack.

    Raises
    ------
    DataError
        They are too few.
    """
    params = inputs.params
    members, others = audience_of(inputs.scorer, inputs.trained_on, inputs.validation, inputs.test, params)
    rate = params.attack_false_positive_rate
    if not is_evidence(len(members.codes), len(others.codes), rate):
        raise DataError(
            f"{len(members.codes):,} training rows and {len(others.codes):,} test rows can be attacked, too few to "
            f"tell who is found at a false positive rate of {rate:g}. Raise evaluate.attack_false_positive_rate."
        )
    real = inputs.trained_on.filter(pa.array(~flag(inputs.trained_on, MADE)))
    held = set(inputs.test.column_names) - {SEEN, WEIGHT}
    names = [name for name in real.column_names if name in held]
    rows = pa.concat_tables([real.select(names), inputs.test.select(names)])
    return Pool(rows, members, others, np.concatenate((members.numbers, others.numbers + len(real))))


def run(
    pool: Pool,
    validation: pa.Table,
    network: int,
    mitigation: debias.DebiasParams,
    resampling: resample.ResampleParams,
    training: train.TrainParams,
    secret: int,
) -> Floats:
    """Train one network; return its confidence in the class of each attacked row, NaN where it was trained on it.

    Parameters
    ----------
    network
        Its number, from 0.
    secret
        Of the noise of differential privacy.
    """
    names = features(pool.rows.column_names, training.target)
    learns = half(identical_rows(TableBatches(pool.rows), names), network, training.seed)
    trained = learn(
        pool.rows.filter(pa.array(learns)),
        validation,
        mitigation,
        resampling,
        training.model_copy(update={"seed": training.seed + network}),
        secret,
    )
    found = [confidence(part.codes, score(trained, part.rows)) for part in (pool.members, pool.others)]
    return np.where(learns[pool.numbers], np.nan, np.concatenate(found))


def arguments_of(argv: Sequence[str] | None) -> tuple[argparse.Namespace, argparse.Namespace]:
    """Arguments of its own, and those of `evaluate`, none of which has the name of one of its own."""
    parser = argparse.ArgumentParser(prog="tasks._shadow", allow_abbrev=False)
    parser.add_argument("--shadow", required=True, type=int)
    parser.add_argument("--scores", required=True, type=Path)
    args, rest = parser.parse_known_args(argv)
    return args, evaluate.arguments_of(rest)


def main(argv: Sequence[str] | None = None) -> None:
    args, of_stage = arguments_of(argv)
    inputs = evaluate.read_inputs(of_stage)
    training = load_params(train.TrainParams, of_stage.params)
    known = json.dumps(["shadow", args.shadow, inputs.candidate(evaluate.rule_of(inputs))]).encode()
    scores = run(
        pool_of(inputs),
        inputs.validation,
        args.shadow,
        load_params(debias.DebiasParams, of_stage.params),
        load_params(resample.ResampleParams, of_stage.params),
        training,
        secret_of(inputs.vault, [known], training),
    )
    table = pa.table({"confidence": pa.array(scores)})
    inputs.vault.write(args.scores, to_parquet(table), role=ROLE, schema=SCHEMA)
